// What a page does by itself: it settles predictions and questions, and wakes explorers as they come near.
(() => {
  const here = document.currentScript.src;

  // A choice opens the measured answer, says whether it was right, and puts the reason for this choice first.
  function settle(quiz, chosen) {
    const answer = document.getElementById(quiz.dataset.settled);
    const status = quiz.querySelector("[role=status]");
    if (!answer) return;
    const { right, hit, miss } = answer.dataset;
    const head = answer.querySelector(".head");
    const isRight = chosen.value === right;
    const said = isRight ? hit : miss.replace("{}", () => chosen.parentElement.textContent.trim());
    head.dataset.measured ??= head.textContent;
    head.textContent = `${isRight ? "✓" : "✗"} ${head.dataset.measured} ${said}`.trim();
    answer.classList.toggle("hit", isRight);
    answer.classList.toggle("miss", !isRight);
    const reasons = [...answer.querySelectorAll("[data-option]")];
    reasons.sort((a, b) => (b.dataset.option === chosen.value) - (a.dataset.option === chosen.value));
    answer.append(...reasons);
    answer.open = true;
    if (quiz.nextElementSibling === answer) {
      status.textContent = isRight ? "✓ Right. The reason stands below." : "✗ Not this one. The reason stands below.";
    } else {
      const link = Object.assign(document.createElement("a"), { href: `#${answer.id}`, textContent: "what was measured" });
      status.replaceChildren("Your prediction. You can change it. Further down, after the run, opens ", link, ".");
    }
  }

  for (const quiz of document.querySelectorAll(".quiz")) {
    quiz.addEventListener("change", event => settle(quiz, event.target));
    quiz.querySelector("form").reset(); // a reload begins anew, also where the browser would remember
  }

  // What a search shows of a page does not tell what was measured either.
  if (typeof Search !== "undefined") {
    const textOf = Search.htmlToText;
    Search.htmlToText = (html, place) => textOf(html.replace(/<details class="measured[^]*?<\/details>/g, ""), place);
  }

  // The table of an explorer is fetched only when its figure nears the view; until then its picture stands there.
  const near = new IntersectionObserver(entries => {
    for (const { target, isIntersecting } of entries) if (isIntersecting) wake(target);
  }, { rootMargin: "600px" });
  async function wake(figure) {
    near.unobserve(figure);
    try {
      const { mountUrl } = await import(new URL("figure.js", here));
      await mountUrl(figure, new URL(`../explorers/${figure.dataset.explorer}.bin`, here).href);
    } catch (error) {
      console.error(`The explorer ${figure.dataset.explorer} stays a picture:`, error);
    }
  }
  document.querySelectorAll(".explorer").forEach(figure => near.observe(figure));
})();
