"""Files that run inside of containers; they import nothing of ours."""
