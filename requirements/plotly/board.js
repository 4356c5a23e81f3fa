// What the dashboard draws with: the core of plotly.js, bars, and maps whose countries are coloured.
const Plotly = require("plotly.js/lib/core");

Plotly.register([require("plotly.js/lib/bar"), require("plotly.js/lib/choropleth")]);
module.exports = Plotly;
