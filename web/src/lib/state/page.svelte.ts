/** What parts of the page tell each other: what is open, and who has the message field. */
class Page {
  /** The sidebar: beside the chat on wide screens, over it on narrow ones. */
  sidebar = $state(true);
  drawer = $state(false);
  palette = $state(false);
  shortcuts = $state(false);
  focusComposer: () => void = () => {};

  toggleSidebar(): void {
    if (matchMedia('(min-width: 48rem)').matches) this.sidebar = !this.sidebar;
    else this.drawer = !this.drawer;
  }
}

export const page = new Page();
