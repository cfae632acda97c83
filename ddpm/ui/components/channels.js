// Latents as pictures of their channels, each number a square: as wide as the pictures that they decode to, so that
// either fits a tile of a stage.

// bytes: n * channels * side * side.  Returns n * size * size * colours bytes, the channels in rows from the left; of
// latents of more numbers than there are pixels, as many as there is room for.
export const sheets = (bytes, n, { channels, side }, size, colours) => {
  const columns = Math.ceil(Math.sqrt(channels)), cell = Math.max(side, Math.floor(size / columns)), zoom = Math.floor(cell / side);
  const edge = Math.max(0, Math.floor((size - columns * cell + cell - zoom * side) / 2));
  const sheet = new Uint8Array(n * size * size * colours);
  for (let i = 0; i < n; i++) {
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) {
        const row = Math.floor((y - edge) / cell), column = Math.floor((x - edge) / cell), channel = row * columns + column;
        const down = Math.floor((y - edge - row * cell) / zoom), across = Math.floor((x - edge - column * cell) / zoom);
        if (row < 0 || column < 0 || column >= columns || channel >= channels || down >= side || across >= side) continue; // between them
        const to = ((i * size + y) * size + x) * colours;
        sheet.fill(bytes[((i * channels + channel) * side + down) * side + across], to, to + colours);
      }
    }
  }
  return sheet;
};
