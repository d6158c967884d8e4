"""Drawing: a canvas in logical pixels, pictures, sliders."""
