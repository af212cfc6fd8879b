/** The request as its function receives it. */
export async function describe(request: Request) {
  return {
    method: request.method,
    path: new URL(request.url).pathname + new URL(request.url).search,
    headers: Object.fromEntries(request.headers),
    body: await request.text(),
  };
}
