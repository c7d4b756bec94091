"""Files and formulas -> checked frames -> rows, split in time and scaled -> windows -> batches. Lightning-free."""
