"""What a photo itself gives for its holes: smooth surfaces, patches, detail and grain. No model is asked."""
