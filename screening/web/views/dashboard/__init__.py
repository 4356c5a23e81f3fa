"""The dashboard as it is shown: panels of figures, their charts, and the Dash app that draws them."""
