"""Tools that check the chart and the image, and how they are obtained."""
