// A file that the page hands over to the browser.
import { fromBase64 } from "./base64.js";

export const download = (name, bytes, type) => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([bytes], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
};

// A run as a file that the server makes.  kind: png, gif or trajectory.  after: what to do with it, said at the end.
export const saveRun = async (server, status, run, kind, after) => {
  status.say("Making the file…");
  const { error, name, data, note } = await server.file({ run, kind });
  if (error) return status.say(error, true);
  download(name, fromBase64(data), kind === "trajectory" ? "application/octet-stream" : `image/${kind}`);
  status.say(note || `Saved ${name}. ${after}`);
};
