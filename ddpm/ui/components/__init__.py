"""What several tabs are made of: views, controls, the choice of a picture, each with its script."""
