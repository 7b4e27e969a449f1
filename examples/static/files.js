/** What the progress bars work on; nothing of it is ever read. */
export const FILES = [
  "annual-report.pdf", "budget.xlsx", "contracts.zip", "floor-plan.svg", "interviews.mp3", "invoices.csv",
  "letters.docx", "minutes.md", "photos.tar", "survey.json", "timetable.ics", "translations.po",
];

/** The file that cannot be read. */
export const BROKEN = "broken.pdf";
