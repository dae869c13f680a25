//! A user's orders as a PDF: one page an order, each with a code to scan for returns. The same orders make the same
//! bytes.

use miniz_oxide::deflate::compress_to_vec_zlib;
use pdf_writer::{Content, Filter, Finish, Name, Pdf, Rect, Ref, Str};
use qrcodegen::{QrCode, QrCodeEcc};

use super::orders::Order;
use super::users::User;

/// What a report is made of.
#[derive(Debug, Clone)]
pub struct OrderHistory {
    /// Whose orders.
    pub user: User,
    /// In the order of the pages.
    pub orders: Vec<Order>,
}

const A4: Rect = Rect { x1: 0.0, y1: 0.0, x2: 595.0, y2: 842.0 };
const CATALOG: Ref = Ref::new(1);
const PAGE_TREE: Ref = Ref::new(2);
const FONT: Ref = Ref::new(3);
const FIRST_PAGE: i32 = 4;
const FONT_NAME: Name = Name(b"F1");

/// Writes a report page by page. Each page costs about a millisecond of computation, most of it for the code.
pub struct ReportWriter {
    pdf: Pdf,
    heading: String,
    pages: Vec<Ref>,
}

impl ReportWriter {
    /// A report without pages.
    pub fn new(user: &User) -> Self {
        ReportWriter {
            pdf: Pdf::new(),
            heading: format!("Orders of {} <{}>", user.name, user.email),
            pages: Vec::new(),
        }
    }

    /// Adds an order's page.
    pub fn add(&mut self, order: &Order) {
        let page = Ref::new(FIRST_PAGE + 2 * self.pages.len() as i32);
        let contents = Ref::new(page.get() + 1);
        self.pages.push(page);

        let mut sheet = self.pdf.page(page);
        sheet.parent(PAGE_TREE).media_box(A4).contents(contents);
        sheet.resources().fonts().pair(FONT_NAME, FONT);
        sheet.finish();

        let drawing = compress_to_vec_zlib(&self.draw(order), 6);
        self.pdf.stream(contents, &drawing).filter(Filter::FlateDecode);
        tracing::trace!(target: "stampede::report", order = %order.id, "page rendered");
    }

    /// The whole document.
    pub fn finish(mut self) -> Vec<u8> {
        self.pdf.catalog(CATALOG).pages(PAGE_TREE);
        self.pdf.pages(PAGE_TREE).count(self.pages.len() as i32).kids(self.pages);
        self.pdf.type1_font(FONT).base_font(Name(b"Helvetica")).encoding_predefined(Name(b"WinAnsiEncoding"));
        self.pdf.finish()
    }

    fn draw(&self, order: &Order) -> Vec<u8> {
        let mut page = Content::new();
        text(&mut page, 14.0, 50.0, 790.0, &self.heading);
        text(&mut page, 11.0, 50.0, 765.0, &format!("Order {}", order.id));
        text(
            &mut page,
            11.0,
            50.0,
            748.0,
            &format!("{}, {}", order.created_at.format("%Y-%m-%d %H:%M UTC"), order.status),
        );
        let mut y = 710.0;
        for item in &order.items {
            text(&mut page, 11.0, 50.0, y, &format!("{} x {}", item.quantity, item.name));
            text(&mut page, 11.0, 350.0, y, &item.unit_price.times(item.quantity).to_string());
            y -= 17.0;
        }
        text(&mut page, 12.0, 50.0, y - 10.0, "Total");
        text(&mut page, 12.0, 350.0, y - 10.0, &order.total.to_string());
        returns_code(&mut page, order);
        page.finish().into_vec()
    }
}

fn text(page: &mut Content, size: f32, x: f32, y: f32, line: &str) {
    // WinAnsi is one byte a character; what it cannot show becomes a question mark.
    let bytes: Vec<u8> =
        line.chars().map(|character| u8::try_from(u32::from(character)).unwrap_or(b'?')).collect();
    page.begin_text().set_font(FONT_NAME, size).next_line(x, y).show(Str(&bytes)).end_text();
}

/// What the returns desk scans: the order and its lines, readable with a seventh of the code torn off.
fn returns_code(page: &mut Content, order: &Order) {
    let mut label = format!("RETURN {}", order.id.simple());
    for item in &order.items {
        // The end of the id is the part that differs.
        let product = item.product_id.simple().to_string();
        label.push_str(&format!(";{}*{}", &product[24..], item.quantity));
    }
    // Longer than any code can hold: the returns desk types the order's number in.
    let Ok(code) = QrCode::encode_text(&label, QrCodeEcc::Medium) else { return };
    let module = 200.0 / code.size() as f32;
    for row in 0..code.size() {
        let mut column = 0;
        while column < code.size() {
            // Dark modules side by side are one rectangle.
            let run = (column..code.size()).take_while(|column| code.get_module(*column, row)).count() as i32;
            if run > 0 {
                page.rect(
                    50.0 + column as f32 * module,
                    250.0 - row as f32 * module,
                    run as f32 * module,
                    module,
                );
            }
            column += run.max(1);
        }
    }
    page.fill_nonzero();
}
