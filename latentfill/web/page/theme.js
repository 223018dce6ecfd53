// Read before anything is drawn, so that a page that is to be dark never flashes.
document.documentElement.dataset.theme = localStorage.getItem("latentfill-theme") ?? "auto";
