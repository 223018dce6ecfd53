"""Put completed crops back into photos, at the resolution of the photo."""
