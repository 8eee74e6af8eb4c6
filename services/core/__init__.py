"""Words every floor shares: errors, states, names, references, time."""
