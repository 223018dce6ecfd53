"""The files of a command: which of those that are there are its pictures, and which it wrote itself."""
