// Accepts only calls signed by our own project (Standard Webhooks), using nothing but WebCrypto.

// During a rotation there are two secrets, and calls are signed with both.
const [secret] = (Deno.env.get("SUPAQUEUE_SECRET") ?? "").split(" ");
const key = await crypto.subtle.importKey(
  "raw",
  decode(secret.replace("whsec_", "")),
  { name: "HMAC", hash: "SHA-256" },
  false,
  ["verify"],
);

Deno.serve(async (request) => {
  const id = request.headers.get("webhook-id");
  const timestamp = request.headers.get("webhook-timestamp");
  const signatures = request.headers.get("webhook-signature")?.split(" ") ?? [];
  const signed = `${id}.${timestamp}.${await request.text()}`;
  const age = Math.abs(Date.now() / 1000 - Number(timestamp));
  for (const candidate of signatures) {
    const [version, signature] = candidate.split(",");
    const isOurs = version === "v1" && age < 300 && await crypto.subtle.verify(
      "HMAC",
      key,
      decode(signature),
      new TextEncoder().encode(signed),
    );
    if (isOurs) return new Response("ours");
  }
  return new Response("not ours", { status: 401 });
});

function decode(base64: string) {
  return Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
}
