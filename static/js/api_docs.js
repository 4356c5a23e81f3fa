// Shows the description of the data API. Whatever is tried out goes to this server alone, with the session's form token
// where no key was entered.
(() => {
  const place = document.getElementById("swagger");
  const root = document.documentElement;
  const follow = () => root.classList.toggle("dark-mode", root.dataset.bsTheme === "dark");

  follow();
  new MutationObserver(follow).observe(root, { attributeFilter: ["data-bs-theme"] });

  window.SwaggerUIBundle({
    url: place.dataset.url,
    domNode: place,
    deepLinking: true,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    displayOperationId: false,
    filter: true,
    validatorUrl: null,
    queryConfigEnabled: false,
    requestInterceptor: (request) => {
      const own = new URL(request.url, location.href).origin === location.origin;
      if (own && request.method !== "GET" && !request.headers.Authorization) {
        request.headers["X-CSRFToken"] = place.dataset.token;
      }
      return request;
    },
  });
})();
