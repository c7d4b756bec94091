"""What is seen of a run: the table of tags, event files, instruments, pictures. No Lightning."""
