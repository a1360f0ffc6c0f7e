declare const Plotly: any;
declare module "page/plotly.js";
