// Returns what stands in the outputs and must not: elements that act or fetch, names that other
// code may look up, attributes that front ends listen to. MathJax's own drawing is looked at for
// foreign names only.
(outputs) => {
  const problems = [];
  const tags = new Set(
    ('a blockquote br code dd details div dl dt em h1 h2 h3 h4 h5 h6 hr li ol p pre s span strong ' +
      'summary table tbody td th thead tr ul').split(' '),
  );
  const attributes = new Set(
    'aria-label class dir href open rel role scope start style tabindex target'.split(' '),
  );
  const links = /^(https?:|mailto:)/;
  const report = (element, what) =>
    problems.push(`${what} in <${element.localName}>: ${element.outerHTML.slice(0, 120)}`);

  const lookAt = (element) => {
    const isFormula = element.closest('mjx-container') !== null;
    if (!isFormula && !tags.has(element.localName)) report(element, 'element');
    for (const { name, value } of element.attributes) {
      if (/foreign/.test(value) && name !== 'href' && !name.startsWith('data-latex'))
        report(element, `foreign ${name}`);
      if (name.startsWith('on')) report(element, name);
      if (isFormula) {
        if (name === 'href' || name === 'src' || /url\(/.test(value)) report(element, name);
        continue;
      }
      if (!attributes.has(name)) report(element, name);
      if (name === 'href' && !links.test(value)) report(element, `link ${value}`);
      if (name === 'style' && /url\(|position|z-index/.test(value)) report(element, value);
    }
  };
  for (const output of document.querySelectorAll(outputs))
    for (const element of output.querySelectorAll('*')) lookAt(element);
  return problems;
}
