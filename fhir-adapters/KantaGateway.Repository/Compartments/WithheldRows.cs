using System.Collections;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Protection;

namespace KantaGateway.Repository.Compartments;

/// <summary>
/// What is withheld of the rows of a compartment, up to a head. Whatever refers to a withheld row, however many references away, or names a withheld
/// visit by its OID, is withheld with it, for it would show that there is something. Immutable.
/// </summary>
/// <remarks>
/// Three sets, each spread by itself. <b>Denied</b> (Act 703/2023 §59.2): rows that belong to a denied service event or were related to one when they were
/// written, rows of a denied register, versions of a denied prescription. <b>Protected</b> (§26.2): see <see cref="IsExempt"/>. <b>Closed</b>: not for a minor's
/// custodians (§34, §51), or not yet released to the person. A row spreads while it is its resource's newest version, so what others name may
/// come into a set afterwards, and they are hidden with it. Labels, codes and dates are those of today: one that is written later binds in every read after it.
/// A visit is known by register and OID: another register's Encounter of the same OID is another visit and hides nothing of this one. A register
/// that keeps no Encounter of that OID has no such visit, it only names one: that is hidden from other registers and from custodians, as it tells of it.
/// </remarks>
sealed class WithheldRows
{
    /// <summary>Nothing is withheld.</summary>
    public static readonly WithheldRows None = new(Withheld.Nothing, 0, null, null);

    private readonly BitArray? _fromOthers, _fromAll;

    private WithheldRows(Withheld withheld, int head, BitArray? fromOthers, BitArray? fromAll) => (Withheld, Head, _fromOthers, _fromAll) = (withheld, head, fromOthers, fromAll);

    public Withheld Withheld { get; }

    public int Head { get; }

    /// <summary>What is done to a row.</summary>
    /// <param name="sequence">Up to the head.</param>
    public Hidden Of(int sequence) => (Has(_fromOthers, sequence) ? Hidden.FromOthers : Hidden.None) | (Has(_fromAll, sequence) ? Hidden.FromAll : Hidden.None);

    /// <summary>The same rows under another statement of the same.</summary>
    public WithheldRows Under(Withheld withheld) => new(withheld, Head, _fromOthers, _fromAll);

    /// <summary>The statement without what makes no difference: releases begin at full hours (<see cref="EntryLabels.ReleasedAt"/>).</summary>
    public static Withheld Plain(Withheld withheld) => withheld.UnreleasedAt is { } at && at.UtcTicks % TimeSpan.TicksPerHour is > 0 and var since
        ? withheld with { UnreleasedAt = new DateTimeOffset(at.UtcTicks - since, TimeSpan.Zero) } : withheld;

    /// <summary>
    /// Medication and risks are seen although a specially protected service wrote them, by whoever may see the rest of the record (Act
    /// 703/2023 §26.2): who prescribes must know what is taken and what is not borne. So they are never in that set, and nothing is by
    /// referring to them. A denial covers them all the same.
    /// </summary>
    public static bool IsExempt(string type) => type is "MedicationRequest" or "MedicationStatement" or "MedicationAdministration" or "MedicationDispense" or "Medication"
        or "Immunization" or "AllergyIntolerance" or "Flag" or "RiskAssessment" or "DetectedIssue";

    /// <summary>
    /// The signed forms that stand behind Consents (Act 703/2023 §58), with what lies in them and what is there because of them: who sees one knows that
    /// something was declared. Likewise the person's requests for rectification (<see cref="RectificationRequests"/>), and what is there because of them.
    /// </summary>
    /// <remarks>
    /// A form is what a Consent of its own controller names as its source, and what is attached to it or has it attached; not what it is only related to: a note of the visit
    /// at which it was signed stays a note. There because of it is what its register holds that only speaks of what is stored, and documents that refer to
    /// it and are no notes: nobody hides another's entry by naming it. It stays a form whatever becomes of the Consent. Nothing is to vanish from care by this: what would is in the way of the Consent
    /// (<see cref="InTheWayOf"/>), and none is taken that refers to a form (<see cref="IsCare"/>). What the Consent's writer is not shown, and what was stored before this was asked, goes with the form
    /// unsaid: it would tell of a declaration.
    /// </remarks>
    /// <returns>Null: there are none.</returns>
    public static BitArray? FormsOf(RowTable table, int head) => new Finding(table, Withheld.Nothing, head).Forms();

    /// <summary>
    /// The first row of care that would vanish from other care, or be left with a reference that leads nowhere, if a Consent named a resource as its signed form; 0: there is none.
    /// </summary>
    /// <param name="forms">Rows that are hidden as forms already.</param>
    /// <param name="shows">Whether a row is seen by whoever is told.</param>
    public static int InTheWayOf(RowTable table, int resource, int head, BitArray? forms, Func<int, bool> shows) => new Finding(table, Withheld.Nothing, head).InTheWayOf(resource, forms, shows);

    /// <summary>Whether care in the same register refers to a resource, or to a document that has it attached.</summary>
    /// <param name="shows">Whether the row that refers is seen by whoever is told.</param>
    public static bool IsNote(RowTable table, int resource, int head, Func<int, bool> shows)
    {
        var finding = new Finding(table, Withheld.Nothing, head);
        return finding.IsNote(resource, referrer => finding.IsCare(referrer) && shows(referrer));
    }

    /// <summary>
    /// Whether a resource that refers to a form is for somebody to read, and so is neither hidden with it nor left with a reference that leads nowhere, but refused: an entry of care,
    /// a message, a task, a manifest, and a document that does not say that it is a form.
    /// </summary>
    /// <param name="saysForm">Whether it says that (<see cref="SignedForms"/>).</param>
    public static bool IsCare(string type, bool saysForm) => !saysForm && type is not ("Provenance" or "List" or "AuditEvent" or "Consent" or "Binary");

    /// <summary>Types that a signed form may have; a Contract is not stored here.</summary>
    private static bool IsForm(string type) => type is "DocumentReference" or "Binary" or "QuestionnaireResponse";

    /// <summary>Types of which it is kept what they consist of (<see cref="EntryLabels.About"/>).</summary>
    public static bool HasParts(string type) => type is "Consent" or "DocumentReference" or "QuestionnaireResponse";

    /// <summary>Types that only speak of what is stored: they are hidden with a form.</summary>
    private static bool SpeaksOfEntries(string type) => type is "Provenance" or "List" or "AuditEvent" or "DocumentManifest" or "Consent" or "Task" or "Communication" || IsForm(type);

    /// <summary>Finds them in time linear in rows and references.</summary>
    public static WithheldRows Of(RowTable table, Withheld withheld, int head)
    {
        var finding = new Finding(table, withheld, head);
        var (entries, fromOthers) = finding.Protected(withheld.SeenServices | withheld.SeenServicesOfOwn);
        // What is seen in the own register alone is hidden from it when it is others'.
        if ((withheld.SeenServicesOfOwn & ~withheld.SeenServices) != 0)
        {
            var (ofOthers, naming) = finding.Protected(withheld.SeenServices);
            fromOthers = Union(fromOthers, Union(ofOthers, naming));
        }
        return new(withheld, head, Union(finding.Denied(), fromOthers), Union(entries, finding.Closed()));
    }

    private static BitArray? Union(BitArray? one, BitArray? other) => one is null ? other : other is null ? one : one.Or(other);

    private static bool Has(BitArray? rows, int sequence) => rows is not null && sequence < rows.Length && rows[sequence];

    private sealed class Finding(RowTable table, Withheld withheld, int head)
    {
        private ILookup<int, int>? _referrers;
        private HashSet<(int, string)>? _visits;

        public BitArray? Denied()
        {
            if (withheld.ServiceEvents.Count == 0 && withheld.Registers.Count == 0 && withheld.Prescriptions.Count == 0)
                return null;
            var spreading = new Spreading(this, isExempt: null, takesNaming: true);
            var registers = table.RegistersAmong(new(withheld.Registers, StringComparer.Ordinal));
            var prescriptions = table.ResourcesWith(withheld.Prescriptions);
            for (var sequence = 1; sequence <= head; sequence++)
            {
                ref readonly var facts = ref table.FactsOf(sequence);
                if (registers[facts.Register] || (prescriptions.Count > 0 && prescriptions.Contains(facts.First) && table.TypeOf(facts) == "MedicationRequest"))
                    spreading.Add(sequence);
            }
            AddOf(new(withheld.ServiceEvents, StringComparer.Ordinal), spreading);
            return spreading.Done();
        }

        /// <param name="named">Resource that a Consent would name too; 0: none.</param>
        public BitArray? Forms(int named = 0)
        {
            var forms = new HashSet<int>();
            // Each with the row that made a form of it, earliest first.
            var found = new PriorityQueue<int, int>();
            foreach (var first in table.FirstsOf("Consent", head))
                AddParts(first, since: 0);
            if (named != 0)
                Add(named, since: head + 1);
            while (found.TryDequeue(out var form, out var since))
            {
                if (!forms.Add(form))
                    continue;
                AddParts(form, since);
                if (!IsContent(form))
                    continue;
                // A content lies in its documents, and they have others: of a form none is shown. A document that takes up the content of a form
                // afterwards, as a letter may, makes none of what else it has.
                foreach (var document in table.FirstsOf("DocumentReference", head))
                    if (IsOfOne(form, document) && PartsOf(document).Any(part => part.First == form && part.Since < since))
                        found.Enqueue(document, since);
            }
            // What the person contests is for the register that answers her, and what only speaks of it too.
            if (table.HasRequests)
                foreach (var letter in table.FirstsOf("Communication", head))
                    if (table.ExtrasOf(table.FactsOf(letter)).Labels is { IsRequest: true })
                        forms.Add(letter);
            if (forms.Count == 0)
                return null;
            var rows = new BitArray(head + 1);
            for (var sequence = 1; sequence <= head; sequence++)
                rows[sequence] = forms.Contains(table.FactsOf(sequence).First);
            var open = new Stack<int>(forms);
            while (open.TryPop(out var first))
                foreach (var referrer in Referrers[first])
                {
                    if (rows[referrer] || !IsOfOneRegister(referrer, first) || !IsThereFor(referrer))
                        continue;
                    rows[referrer] = true;
                    if (table.NewestOf(referrer, head) == referrer)
                        open.Push(table.FactsOf(referrer).First);
                }
            return rows;

            void AddParts(int first, int since)
            {
                foreach (var part in PartsOf(first))
                    if (IsOfOne(part.First, first))
                        Add(part.First, Math.Max(since, part.Since));
            }

            void Add(int first, int since)
            {
                if (IsForm(table.TypeOf(table.FactsOf(first))))
                    found.Enqueue(first, since);
            }
        }

        public int InTheWayOf(int named, BitArray? forms, Func<int, bool> shows)
        {
            if (Forms(named) is not { } rows)
                return 0;
            for (var sequence = 1; sequence <= head; sequence++)
            {
                if (!rows[sequence] || Has(forms, sequence) || table.NewestOf(sequence, head) != sequence)
                    continue;
                if (IsLost(sequence))
                    return sequence;
                foreach (var referrer in Referrers[table.FactsOf(sequence).First])
                    if (IsOfOneRegister(referrer, sequence) && table.NewestOf(referrer, head) == referrer && !Has(forms, referrer) && IsLost(referrer))
                        return referrer;
            }
            return 0;

            bool IsLost(int row) => IsCare(row) && shows(row);
        }

        public bool IsCare(int sequence)
        {
            ref readonly var facts = ref table.FactsOf(sequence);
            return WithheldRows.IsCare(table.TypeOf(facts), table.ExtrasOf(facts).Labels?.IsForm == true);
        }

        /// <summary>Whether newest versions in the same register refer to a resource, or to a document that has it attached.</summary>
        /// <param name="counts">Which of them.</param>
        public bool IsNote(int resource, Func<int, bool> counts)
        {
            var about = IsContent(resource) ? table.FirstsOf("DocumentReference", head).Where(document => IsOfOne(resource, document) && PartsOf(document).Any(part => part.First == resource)) : [];
            return about.Prepend(resource).SelectMany(its => Referrers[its]).Any(referrer => IsOfOneRegister(referrer, resource) && table.NewestOf(referrer, head) == referrer && counts(referrer));
        }

        /// <summary>Whether what refers to a form is there because of it; of a document, if it is no note.</summary>
        private bool IsThereFor(int referrer) => table.TypeOf(table.FactsOf(referrer)) is var type && SpeaksOfEntries(type)
            && (!IsForm(type) || !IsNote(table.FactsOf(referrer).First, its => !SpeaksOfEntries(table.TypeOf(table.FactsOf(its)))));

        /// <summary>
        /// What a resource has consisted of in any of its versions up to the head, each with the version; of one of which that was not kept, all that it
        /// refers to.
        /// </summary>
        private IEnumerable<(int First, int Since)> PartsOf(int first)
        {
            if (!HasParts(table.TypeOf(table.FactsOf(first))))
                yield break;
            for (var version = table.NewestOf(first, head); version > 0; version = table.FactsOf(version).Previous)
            {
                var facts = table.FactsOf(version);
                foreach (var part in table.ExtrasOf(facts).Labels?.About ?? table.TargetsOf(facts).ToArray())
                    if (part <= head)
                        yield return (part, version);
            }
        }

        private bool IsContent(int sequence) => table.TypeOf(table.FactsOf(sequence)) == "Binary";

        /// <summary>Whether two rows are one controller's.</summary>
        private bool IsOfOne(int one, int other) => table.ControllerOf(table.FactsOf(one)) == table.ControllerOf(table.FactsOf(other));

        /// <summary>Whether two rows are in one register of one controller.</summary>
        private bool IsOfOneRegister(int one, int other) => table.FactsOf(one).Register == table.FactsOf(other).Register;

        /// <summary>
        /// Entries of specially protected services that are not seen: by their own labels, or because the Encounter of their service event has one
        /// today (§26.2).
        /// </summary>
        /// <param name="seen">Services that are seen nevertheless.</param>
        /// <returns>
        /// The entries, and what is hidden from others only: Patient records that are labelled so, which are no entries and which their own register
        /// works with, and what another register than the visit's tells of the visit.
        /// </returns>
        public (BitArray? Entries, BitArray? FromOthers) Protected(ProtectedService seen)
        {
            if (!withheld.SpeciallyProtected || (table.Services & ~seen) == 0)
                return default;
            // Of the register's own Encounters only: nobody closes another's entries with an OID of theirs.
            var services = new Dictionary<(int Register, string Event), ProtectedService>();
            foreach (var (encounter, serviceEvent) in EncountersOfEvents())
                if (table.ExtrasOf(table.FactsOf(encounter)).Labels is { Services: not 0 and var its })
                    services[(table.FactsOf(encounter).Register, serviceEvent)] = services.GetValueOrDefault((table.FactsOf(encounter).Register, serviceEvent)) | its;
            var spreading = new Spreading(this, IsExemptOrPatient, takesNaming: false);
            BitArray? patients = null;
            for (var sequence = 1; sequence <= head; sequence++)
            {
                ref readonly var facts = ref table.FactsOf(sequence);
                var extras = table.ExtrasOf(facts);
                if (!IsUnseen((extras.Labels?.Services ?? 0) | (facts.Event == 0 || services.Count == 0 ? ProtectedService.None : services.GetValueOrDefault((facts.Register, table.EventOf(facts)!))), seen))
                    continue;
                if ((facts.Marks & RowTable.RowMarks.Patient) != 0)
                    (patients ??= new(head + 1))[sequence] = true;
                else
                    spreading.Add(sequence);
            }
            var entries = spreading.Done();
            var naming = spreading.Visits.Count == 0 ? null : new Spreading(this, IsExemptOrPatient, takesNaming: true, spreading.Visits).Done();
            return (entries, Union(patients, naming));

            static bool IsExemptOrPatient(string type) => type == "Patient" || IsExempt(type);
        }

        // Of several services any that is seen opens it; a label that nothing is known of is opened by nothing else.
        private static bool IsUnseen(ProtectedService services, ProtectedService seen) => services != 0
            && ((services & seen) == 0 || (services & ~seen & ProtectedService.Unknown) != 0);

        /// <summary>
        /// Entries that are closed to a minor's custodians (§34, §51), or not yet released to the person; never a Patient record, and never a Consent: nobody
        /// delays what the person has declared, or is to be told of (§58, EHDS Art. 9).
        /// </summary>
        public BitArray? Closed()
        {
            var now = withheld.UnreleasedAt?.UtcTicks;
            if (!withheld.FromCustodians && (now is null || !table.HasReleases))
                return null;
            var said = SaidByProvenances();
            var ofEvent = withheld.FromCustodians ? AccessOfEvents(said) : [];
            // Nobody who names a visit tells the person what they do not know themselves.
            var spreading = new Spreading(this, static type => type is "Patient" or "Consent", takesNaming: withheld.FromCustodians);
            for (var sequence = 1; sequence <= head; sequence++)
            {
                ref readonly var facts = ref table.FactsOf(sequence);
                var labels = table.ExtrasOf(facts).Labels;
                var of = said.GetValueOrDefault(facts.First);
                if ((now is { } at && IsUnreleased(facts, labels, of, at))
                    || (withheld.FromCustodians && !IsShownToCustodians(facts, AccessOf(sequence, labels, of) is not CustodianAccess.Unstated and var access ? access
                        : facts.Event == 0 ? CustodianAccess.Unstated : ofEvent.GetValueOrDefault((facts.Register, table.EventOf(facts)!)))))
                    spreading.Add(sequence);
            }
            return spreading.Done();
        }

        private bool IsUnreleased(in RowTable.Facts facts, EntryLabels? labels, Said said, long now)
        {
            // Of a Provenance the day is that of what it is about, with which it is hidden.
            var own = table.TypeOf(facts) == "Provenance" ? null : labels?.ReleasedAt;
            return Math.Max(own ?? long.MinValue, said.ReleasedAt ?? long.MinValue) is not long.MinValue and var at ? at > now : labels?.IsDelayed == true;
        }

        private bool IsShownToCustodians(in RowTable.Facts facts, CustodianAccess access) => access == CustodianAccess.Shown
            || (access == CustodianAccess.Unstated && withheld.UnknownShownBefore is { } before && table.FactsOf(facts.First).LastUpdatedTicks < before.UtcTicks);

        /// <summary>What a row says itself; a Provenance says it where the row does not, and may close afterwards what the row opens.</summary>
        private static CustodianAccess AccessOf(int sequence, EntryLabels? labels, Said said) => labels?.Custodians switch
        {
            null or CustodianAccess.Unstated => said.Access,
            CustodianAccess.Shown when said is { Access: CustodianAccess.Hidden } && said.AccessSaidIn > sequence => CustodianAccess.Hidden,
            var own => own.Value,
        };

        /// <summary>What the Encounters of service events say, by register and event. Only of the register's own events: nobody opens another's entries.</summary>
        private Dictionary<(int Register, string Event), CustodianAccess> AccessOfEvents(Dictionary<int, Said> said)
        {
            var access = new Dictionary<(int, string), CustodianAccess>();
            foreach (var (encounter, serviceEvent) in EncountersOfEvents())
            {
                ref readonly var facts = ref table.FactsOf(encounter);
                var its = AccessOf(encounter, table.ExtrasOf(facts).Labels, said.GetValueOrDefault(facts.First));
                var key = (facts.Register, serviceEvent);
                access[key] = (CustodianAccess)Math.Max((byte)its, (byte)access.GetValueOrDefault(key));
            }
            return access;
        }

        /// <summary>What the newest Provenances say of resources, by the first version of each; of the resource's own register only.</summary>
        private Dictionary<int, Said> SaidByProvenances()
        {
            var said = new Dictionary<int, Said>();
            foreach (var first in table.FirstsOf("Provenance", head))
            {
                var newest = table.NewestOf(first, head);
                ref readonly var facts = ref table.FactsOf(newest);
                if ((facts.Marks & RowTable.RowMarks.Deleted) != 0 || table.ExtrasOf(facts).Labels is not { About.Count: > 0 } labels)
                    continue;
                foreach (var about in labels.About)
                {
                    if (about > head || table.FactsOf(about).Register != facts.Register)
                        continue;
                    var of = said.GetValueOrDefault(about);
                    if (labels.Custodians != CustodianAccess.Unstated && newest > of.AccessSaidIn)
                        of = of with { Access = labels.Custodians, AccessSaidIn = newest };
                    if (labels.ReleasedAt is not null && newest > of.ReleaseSaidIn)
                        of = of with { ReleasedAt = labels.ReleasedAt, ReleaseSaidIn = newest };
                    said[about] = of;
                }
            }
            return said;
        }

        private readonly record struct Said(CustodianAccess Access, int AccessSaidIn, long? ReleasedAt, int ReleaseSaidIn);

        /// <summary>
        /// Newest versions of the Encounters that service events are, with the event. One that is part of another of the same event is not the event: what it
        /// says is said of itself and what refers to it. A deleted one still says what it last said.
        /// </summary>
        private IEnumerable<(int Encounter, string Event)> EncountersOfEvents()
        {
            foreach (var first in table.FirstsOf("Encounter", head))
            {
                var newest = table.NewestOf(first, head);
                if (EventThatIs(newest) is { } serviceEvent)
                    yield return (newest, serviceEvent);
            }
        }

        /// <summary>The service event that an Encounter is; null for a part of one, and for every other row.</summary>
        private string? EventThatIs(int newest)
        {
            ref readonly var facts = ref table.FactsOf(newest);
            return facts.Event != 0 && table.TypeOf(facts) == "Encounter" && table.EventOf(facts) is { } serviceEvent && !IsPartOf(newest, serviceEvent) ? serviceEvent : null;
        }

        private bool IsPartOf(int encounter, string serviceEvent)
        {
            foreach (var target in table.TargetsOf(table.FactsOf(encounter)))
                if (target <= head && table.TypeOf(table.FactsOf(target)) == "Encounter" && table.EventOf(table.FactsOf(table.NewestOf(target, head))) == serviceEvent)
                    return true;
            return false;
        }

        /// <summary>The visits that there are: those of which a register keeps the Encounter.</summary>
        private HashSet<(int Register, string Event)> Visits => _visits ??= [.. EncountersOfEvents().Select(e => (table.FactsOf(e.Encounter).Register, e.Event))];

        /// <summary>
        /// Rows of a visit's register that belong to it or were related to it when they were written, and those of registers that have no such visit
        /// and name it.
        /// </summary>
        private void AddOf(HashSet<(int Register, string Event)> visits, bool takesNaming, Spreading spreading)
        {
            HashSet<string> events = new(visits.Select(static v => v.Event), StringComparer.Ordinal);
            var among = table.EventsAmong(events);
            for (var sequence = 1; sequence <= head; sequence++)
            {
                ref readonly var facts = ref table.FactsOf(sequence);
                var (row, register) = (sequence, facts.Register);
                if ((among[facts.Event] && IsOf(register, table.EventOf(facts)!))
                    || (facts.Extras != 0 && Array.Exists(table.ExtrasOf(facts).RelatedEvents, e => events.Contains(e) && IsOf(register, e) && !spreading.ComesFromExempt(row, e))))
                    spreading.Add(sequence);
            }

            bool IsOf(int register, string serviceEvent) => visits.Contains((register, serviceEvent)) || (takesNaming && !Visits.Contains((register, serviceEvent)));
        }

        /// <summary>Rows that belong to one of the events in whatever register, or were related to one when they were written: a denial names no register.</summary>
        private void AddOf(HashSet<string> events, Spreading spreading)
        {
            if (events.Count == 0)
                return;
            var among = table.EventsAmong(events);
            for (var sequence = 1; sequence <= head; sequence++)
            {
                ref readonly var facts = ref table.FactsOf(sequence);
                var row = sequence;
                if (among[facts.Event] || (facts.Extras != 0 && Array.Exists(table.ExtrasOf(facts).RelatedEvents, e => events.Contains(e) && !spreading.ComesFromExempt(row, e))))
                    spreading.Add(sequence);
            }
        }

        /// <summary>From the first version of a resource to the rows that refer to it; made when something spreads.</summary>
        private ILookup<int, int> Referrers
        {
            get
            {
                if (_referrers is not null)
                    return _referrers;
                var pairs = new List<(int Target, int Row)>();
                for (var sequence = 1; sequence <= head; sequence++)
                    foreach (var target in table.TargetsOf(table.FactsOf(sequence)))
                        pairs.Add((target, sequence));
                return _referrers = pairs.ToLookup(p => p.Target, p => p.Row);
            }
        }

        /// <param name="finding">Of whose rows.</param>
        /// <param name="isExempt">Types that are never in the set; null: all may be.</param>
        /// <param name="takesNaming">Whether rows of registers that have no such visit come into it by naming one.</param>
        /// <param name="visits">Those that are in the set beforehand; null: none.</param>
        private sealed class Spreading(Finding finding, Func<string, bool>? isExempt, bool takesNaming, IEnumerable<(int Register, string Event)>? visits = null)
        {
            private readonly BitArray _rows = new(finding.Head + 1);
            private readonly Stack<int> _open = new();
            private readonly HashSet<(int Register, string Event)> _visits = [.. visits ?? []];

            /// <summary>The visits whose Encounters have come into the set.</summary>
            public IReadOnlyCollection<(int Register, string Event)> Visits => _visits;

            public void Add(int sequence)
            {
                if (_rows[sequence] || isExempt?.Invoke(finding.Table.TypeOf(finding.Table.FactsOf(sequence))) == true)
                    return;
                _rows[sequence] = true;
                if (finding.Table.NewestOf(sequence, finding.Head) != sequence)
                    return;
                _open.Push(finding.Table.FactsOf(sequence).First);
                if (finding.EventThatIs(sequence) is { } serviceEvent)
                    _visits.Add((finding.Table.FactsOf(sequence).Register, serviceEvent));
            }

            /// <summary>Whether a row is related to an event only because it refers to something exempt of it, at most four references away.</summary>
            public bool ComesFromExempt(int sequence, string serviceEvent, int depth = 0)
            {
                if (isExempt is null || depth == 4)
                    return false;
                foreach (var target in finding.Table.TargetsOf(finding.Table.FactsOf(sequence)))
                {
                    if (target > finding.Head)
                        continue;
                    var newest = finding.Table.NewestOf(target, finding.Head);
                    ref readonly var facts = ref finding.Table.FactsOf(newest);
                    var isOfIt = finding.Table.EventOf(facts) == serviceEvent;
                    if ((isOfIt || Array.IndexOf(finding.Table.ExtrasOf(facts).RelatedEvents, serviceEvent) >= 0)
                        && (isExempt(finding.Table.TypeOf(facts)) || (!isOfIt && ComesFromExempt(newest, serviceEvent, depth + 1))))
                        return true;
                }
                return false;
            }

            public BitArray Done()
            {
                for (var named = 0; _open.Count > 0 || _visits.Count > named;)
                {
                    while (_open.TryPop(out var first))
                        foreach (var referrer in finding.Referrers[first])
                            Add(referrer);
                    // Whoever names a hidden visit by its OID tells that there is one.
                    if (_visits.Count == named)
                        continue;
                    named = _visits.Count;
                    finding.AddOf(_visits, takesNaming, this);
                }
                return _rows;
            }
        }

        private RowTable Table => table;

        private int Head => head;
    }
}
