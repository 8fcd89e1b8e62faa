"""Read, write and remove files below an untrusted folder."""
