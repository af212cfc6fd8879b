// Returns the length and SHA-256 of the payload as it arrived.

Deno.serve(async (request) => {
  const body = await request.arrayBuffer();
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", body));
  const hex = (byte: number) => byte.toString(16).padStart(2, "0");
  return Response.json({
    bytes: body.byteLength,
    sha256: Array.from(hash, hex).join(""),
  });
});
