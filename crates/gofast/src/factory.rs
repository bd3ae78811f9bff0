//! Makes connections of one dialect.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use moorline_protocol::{
    Admission, Format, HandledTypes, Local, Protocol, ProtocolFactory, Remote, SetupError,
};

use crate::connection::{Connection, Side};
use crate::dialect::Dialect;
use crate::ids::Ids;
use crate::settings::GofastSettings;
use crate::stats::GofastStats;

/// The name of the protocol in the dialect of 2017.
pub const GOFAST: &str = "gofast";

/// The name of the protocol in the dialect of 2016.
pub const GOFAST_2016: &str = "gofast-2016";

/// Makes connections of `gofast` or of `gofast-2016`. Clones are the same factory.
#[derive(Debug, Clone)]
pub struct Gofast {
    dialect: Dialect,
    settings: Arc<GofastSettings>,
    stats: GofastStats,
    /// The ids of the last registry seen, as long as it has no more types than then.
    ids: Arc<Mutex<Option<KnownIds>>>,
}

/// Ids, and how many types there were when they were looked up.
type KnownIds = (u32, Arc<Ids>);

moorline_protocol::register_protocol!(Gofast::registered(Dialect::Y2017));
moorline_protocol::register_protocol!(Gofast::registered(Dialect::Y2016));

impl Gofast {
    /// With these settings, for a registry of the application's own:
    /// `registry.add(Arc::new(Gofast::with(dialect, settings)?))`.
    ///
    /// # Errors
    /// A setting that cannot be.
    pub fn with(dialect: Dialect, settings: GofastSettings) -> Result<Self, SetupError> {
        let protocol = dialect.protocol();
        settings.check(dialect).map_err(|why| SetupError::Unusable { protocol, why })?;
        Ok(Self::new(dialect, settings, GofastStats::default()))
    }

    /// What every service of the process finds under the dialect's name: default settings, and one
    /// set of statistics for all of them.
    #[must_use]
    pub fn registered(dialect: Dialect) -> Self {
        static STATS: [OnceLock<GofastStats>; 2] = [OnceLock::new(), OnceLock::new()];
        let stats = STATS[usize::from(dialect == Dialect::Y2016)].get_or_init(GofastStats::default);
        Self::new(dialect, GofastSettings::default(), stats.clone())
    }

    fn new(dialect: Dialect, settings: GofastSettings, stats: GofastStats) -> Self {
        Self { dialect, settings: Arc::new(settings), stats, ids: Arc::default() }
    }

    /// Counters of the connections it has made.
    #[must_use]
    pub fn stats(&self) -> &GofastStats {
        &self.stats
    }

    /// Types are seldom added once there are connections.
    fn ids(&self, local: &Local) -> Result<Arc<Ids>, SetupError> {
        let types = local.registry.len();
        let mut kept = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, ids)) =
            kept.as_ref().filter(|(of, ids)| *of == types && ids.are_of(&local.registry))
        {
            return Ok(Arc::clone(ids));
        }
        let ids = Arc::new(Ids::new(self.dialect, &local.registry)?);
        *kept = Some((types, Arc::clone(&ids)));
        Ok(ids)
    }

    fn side(&self, local: Arc<Local>, dials: bool) -> Result<Side, SetupError> {
        let ids = self.ids(&local)?;
        let protocol = self.dialect.protocol();
        let opaques = self.settings.opaques(self.dialect, dials);
        Ok(Side {
            dialect: self.dialect,
            settings: Arc::clone(&self.settings),
            stats: self.stats.clone(),
            opaques: opaques.map_err(|why| SetupError::Unusable { protocol, why })?,
            local,
            dials,
            ids,
        })
    }
}

impl ProtocolFactory for Gofast {
    fn name(&self) -> &'static str {
        self.dialect.protocol()
    }

    fn authenticates(&self) -> bool {
        false
    }

    fn format(&self) -> Format {
        self.settings.format
    }

    fn initiator(
        &self,
        local: Arc<Local>,
        _handled: HandledTypes,
        remote: Remote,
    ) -> Result<Box<dyn Protocol>, SetupError> {
        let Remote::Unverified = remote else { return Err(SetupError::KeyUnused(self.name())) };
        Ok(Box::new(Connection::new(self.side(local, true)?, None)))
    }

    fn responder(
        &self,
        local: Arc<Local>,
        _handled: HandledTypes,
        admission: Box<dyn Admission>,
    ) -> Result<Box<dyn Protocol>, SetupError> {
        Ok(Box::new(Connection::new(self.side(local, false)?, Some(admission))))
    }
}
