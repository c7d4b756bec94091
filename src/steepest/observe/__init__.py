"""What a run displays: the table of tags, event files, instruments, pictures. No Lightning."""
