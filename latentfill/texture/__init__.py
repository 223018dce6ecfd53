"""Fill holes from the photo itself: smooth surfaces, patches, detail and grain. No model is used."""
