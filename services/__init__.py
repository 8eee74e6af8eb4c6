"""The studio itself: everything Atelier does, working without any screen."""
