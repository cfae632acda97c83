// Formulas, made of the elements that Python hands over as data: see maths.py.

const NAMESPACE = "http://www.w3.org/1998/Math/MathML";

// [its name, its text] or [its name, its children...]
const element = ([name, ...inside]) => {
  const node = document.createElementNS(NAMESPACE, name);
  node.append(...inside.map((each) => (typeof each === "string" ? each : element(each))));
  return node;
};

export const formula = (tree, block = false) => {
  const math = element(["math", tree]);
  if (block) math.setAttribute("display", "block");
  return math;
};
