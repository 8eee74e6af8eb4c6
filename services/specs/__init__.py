"""What people write: YAML and forms as frozen Pydantic, validated once at the door."""
