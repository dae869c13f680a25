// On paper nothing can be opened.
addEventListener('beforeprint', () => document.querySelectorAll('details').forEach(fold => { fold.open = true; }));

// Not every browser opens the fold that a link leads into.
const reveal = () => {
  const target = document.getElementById(location.hash.slice(1));
  const fold = target?.closest('details:not([open])');
  if (fold) {
    fold.open = true;
    target.scrollIntoView();
  }
};
addEventListener('hashchange', reveal);
reveal();

// Without a script the field would do nothing, so it is hidden until here. A report of few exercises has none.
const filter = document.querySelector('.filter');
filter?.removeAttribute('hidden');
filter?.addEventListener('input', ({ target }) => {
  const words = target.value.toLowerCase().split(/\s+/);
  for (const row of document.querySelectorAll('.index tbody tr')) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every(word => text.includes(word));
    document.querySelector(row.querySelector('a').hash).closest('details').hidden = row.hidden;
  }
});
