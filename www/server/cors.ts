// Cross-origin calls: the page and this handler seldom share an origin. No cookie is ever looked at, so nothing is
// gained by a page that lures a signed-in user: it has no token.

type Origins = '*' | readonly string[] | undefined;

const PREFLIGHT = {
  'Access-Control-Allow-Methods': 'GET, PUT',
  'Access-Control-Allow-Headers':
    'Authorization, Content-Type, Content-Digest, Content-Encoding, Framelock-Item-Digest',
  'Access-Control-Max-Age': '86400',
};

/** Answers a browser that asks before it calls. */
export function preflight(request: Request, origins: Origins): Response {
  return allowed(new Response(null, { status: 204, headers: PREFLIGHT }), request, origins);
}

/** Lets the page read a response, when its origin may. */
export function allowed(response: Response, request: Request, origins: Origins = '*'): Response {
  const origin = request.headers.get('Origin');
  if (origins === '*') {
    response.headers.set('Access-Control-Allow-Origin', '*');
  } else {
    response.headers.append('Vary', 'Origin');
    if (origin === null || !origins.includes(origin)) return response;
    response.headers.set('Access-Control-Allow-Origin', origin);
  }
  response.headers.set('Access-Control-Expose-Headers', 'Retry-After');
  return response;
}
