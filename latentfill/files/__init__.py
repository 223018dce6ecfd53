"""The files of a command: which existing files are its pictures, and which it wrote itself."""
