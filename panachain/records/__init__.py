"""Records: from health data to sealed blocks and back."""
