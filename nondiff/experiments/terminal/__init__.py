"""What commands read from and print to a terminal."""
