"""What operators see: health."""
