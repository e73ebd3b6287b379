/** Documents for tests, made here. */

/** A PDF of one page that says `text`. */
export function pdf(text: string): Buffer {
  const content = `BT /F1 12 Tf 72 680 Td (${text}) Tj ET`;
  const objects = [
    '<< /Type /Catalog /Pages 2 0 R >>',
    '<< /Type /Pages /Count 1 /Kids [3 0 R] >>',
    '<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>',
    `<< /Length ${content.length} >>\nstream\n${content}\nendstream`
  ];
  let out = '%PDF-1.7\n';
  const places = objects.map((object, index) => {
    const at = out.length;
    out += `${index + 1} 0 obj\n${object}\nendobj\n`;
    return at;
  });
  const xref = out.length;
  out += `xref\n0 ${objects.length + 1}\n0000000000 65535 f \n`;
  out += places.map((at) => `${String(at).padStart(10, '0')} 00000 n \n`).join('');
  out += `trailer\n<< /Size ${objects.length + 1} /Root 1 0 R >>\nstartxref\n${xref}\n%%EOF`;
  return Buffer.from(out, 'latin1');
}

export const LEAVE = `# Leave

Everybody at Nusantara Ltd. has twelve days of leave a year.

# Dogs

Dogs may come to the office on Fridays. <img src=x onerror="document.title='pwned'"> <script>document.title='pwned'</script>
![x](http://canary.invalid/x.png) [open](javascript:alert(1))
`;
