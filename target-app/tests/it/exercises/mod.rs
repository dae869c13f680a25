//! For each exercise: all variants answer one client alike, and only buggy and tempting show the symptom.

mod double_charge;
mod frozen_health;
mod hung_payments;
mod oversold_stock;
mod sale_meltdown;
mod skipped_in_line;
mod slow_analytics;
mod slow_order_list;
