"""What screens are made of: parts, tables, charts and the few components that bring their own script."""
