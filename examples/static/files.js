/** The names of the files for the progress bars. The files do not exist. */
export const FILES = [
  "annual-report.pdf", "budget.xlsx", "contracts.zip", "floor-plan.svg", "interviews.mp3", "invoices.csv",
  "letters.docx", "minutes.md", "photos.tar", "survey.json", "timetable.ics", "translations.po",
];

/** The file that cannot be read. */
export const BROKEN = "broken.pdf";
