// A function with routes.

const goodbye = new URLPattern({ pathname: "/mailer/goodbye/:name" });

Deno.serve((request) => {
  const url = new URL(request.url);
  const lang = url.searchParams.get("lang") ?? "en";
  const name = goodbye.exec(url)?.pathname.groups.name;
  if (name) {
    return Response.json({ goodbye: decodeURIComponent(name), lang });
  }
  if (url.pathname === "/mailer/welcome") {
    return Response.json({ welcome: "everybody", lang });
  }
  return new Response(`no route ${url.pathname}${url.search}`, { status: 404 });
});
