"""Methods of finding minimum distortions side by side: image by image, and pass by pass."""
