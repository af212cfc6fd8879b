// A function that a queue of Supaqueue calls: each job is one call, and its payload is the body.

Deno.serve(async (request) => {
  const body = await request.text();
  if (!await isSigned(request.headers, body)) {
    return new Response("this project has not signed the call", {
      status: 401,
    });
  }
  const { name = "world" } = JSON.parse(body);
  // A 2xx answer ends the job, and is its result. Any other answer is a failed attempt, after which the job is tried again.
  return Response.json({ hello: name });
});

// Whether a call comes from this project: anyone can reach a function that has verify_jwt = false, but only this project's
// database and functions have the secret (https://www.standardwebhooks.com).
async function isSigned(headers: Headers, body: string): Promise<boolean> {
  // During a rotation there are two secrets, and calls are signed with both.
  const [secret] = (Deno.env.get("SUPAQUEUE_SECRET") ?? "").split(" ");
  if (!secret.startsWith("whsec_")) return false;
  const timestamp = headers.get("webhook-timestamp");
  if (!(Math.abs(Date.now() / 1000 - Number(timestamp)) < 300)) return false;
  const key = await crypto.subtle.importKey(
    "raw",
    decode(secret.replace("whsec_", "")),
    { name: "HMAC", hash: "SHA-256" },
    false,
    ["verify"],
  );
  const signed = new TextEncoder().encode(
    `${headers.get("webhook-id")}.${timestamp}.${body}`,
  );
  for (const candidate of headers.get("webhook-signature")?.split(" ") ?? []) {
    const [version, signature] = candidate.split(",");
    if (version !== "v1") continue;
    if (await crypto.subtle.verify("HMAC", key, decode(signature), signed)) {
      return true;
    }
  }
  return false;
}

function decode(base64: string) {
  return Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
}
