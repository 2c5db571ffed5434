/* The theme puts tables into boxes that scroll where they are wide. By keyboard they scroll only
   where they can take the focus. */
window.addEventListener("load", () => {
  for (const box of document.querySelectorAll(".md-typeset__scrollwrap"))
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
});
