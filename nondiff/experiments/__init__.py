"""What a user runs and keeps: training, evaluation, and the folders they leave."""
