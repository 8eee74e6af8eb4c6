"""The outside world, one door each: containers, tracking, files. A fake stands beside each."""
