"""Edit: a drawing, a half, a way between, a way back, a sum: what else a diffusion model can be asked."""
