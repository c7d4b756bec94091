"""What a run shows: the table of tags, event files, instruments, pictures. No Lightning."""
