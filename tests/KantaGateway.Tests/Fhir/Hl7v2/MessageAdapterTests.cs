// What is not there ends the test, as it should.
#pragma warning disable CS8600, CS8602, CS8604
using System.Text;
using CsCheck;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Adapters;
using KantaGateway.Fhir.Hl7v2;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Profiles;

namespace KantaGateway.Tests.Fhir.Hl7v2;

/// <summary>What a message says becomes one transaction about one person, or nothing does.</summary>
public sealed class MessageAdapterTests
{
    private static readonly string[] All = ["arrival", "results", "booking", "document"];

    public static TheoryData<string> Names => [.. All];

    private static byte[] Named(string name) => name switch { "arrival" => Sent.Arrival(), "results" => Sent.Results(), "booking" => Sent.Booking(), _ => Sent.Document() };

    [Theory, MemberData(nameof(Names))]
    public void A_message_becomes_a_valid_transaction_with_itself_byte_for_byte_and_where_it_came_from(string name)
    {
        var bytes = Named(name);
        var bundle = Taken(bytes);
        var (parsed, fault) = ResourceParser.Parse(ResourceParser.Serialize(bundle));
        Assert.True(fault is null, fault?.Issues[0].ToString());
        Assert.Null(TransactionBundle.Read((Bundle)parsed!).Fault);
        Assert.Equal(bytes, Of<Binary>(bundle).Single(b => b.ContentType == MessageAdapter.ContentType).Data);
        var provenance = Of<Provenance>(bundle).Single();
        Assert.NotEmpty(provenance.Target);
        Assert.All(provenance.Target, t => Assert.Contains(bundle.Entry, e => e.FullUrl == t.Reference));
        Assert.Equal(ResourceParser.Serialize(bundle), ResourceParser.Serialize(Taken(bytes)));
    }

    [Fact]
    public void An_arrival_says_who_came_where_and_why()
    {
        var bundle = Taken(Sent.Arrival());
        var patient = Of<Patient>(bundle).Single();
        Assert.Equal(Sent.Code(), patient.Identifier[0].Value);
        Assert.Equal(("urn:oid:" + Sent.Organisation, "4711"), (patient.Identifier[1].System, patient.Identifier[1].Value));
        Assert.Equal(("Järvi", "Meri Aino", "1980-02-29", AdministrativeGender.Female), (patient.Name[0].Family, string.Join(' ', patient.Name[0].Given), patient.BirthDate, patient.Gender));
        var visit = Of<Encounter>(bundle).Single();
        Assert.Equal(("urn:oid:" + Sent.Visit, Encounter.EncounterStatus.InProgress, "IMP"), (visit.Identifier[0].Value, visit.Status, visit.Class.Code));
        Assert.Equal("Leena Lääkäri", visit.Participant.Single().Individual.Display);
        Assert.Equal("2026-11-30T10:00:00+02:00", visit.Period.Start);
        Assert.Equal("F32.1", Of<Condition>(bundle).Single().Code.Coding[0].Code);
        Assert.Equal("J01CA04", Of<AllergyIntolerance>(bundle).Single().Code.Coding[0].Code);
    }

    [Fact]
    public void Results_keep_value_unit_range_note_and_the_service_event()
    {
        var results = Of<Observation>(Taken(Sent.Results())).ToList();
        var quantity = (Quantity)results[0].Value;
        Assert.Equal((4.1m, "mmol/l", "http://unitsofmeasure.org"), (quantity.Value, quantity.Code, quantity.System));
        Assert.Equal((3.5m, 5.0m, "Paastonäyte"), (results[0].ReferenceRange[0].Low.Value, results[0].ReferenceRange[0].High.Value, results[0].Note[0].Text));
        Assert.Equal(Quantity.QuantityComparator.LessThan, ((Quantity)results[1].Value).Comparator);
        Assert.Equal("Ensimmäinen rivi\ntoinen & kolmas", ((FhirString)results[2].Value).Value);
        Assert.All(results, r => Assert.Equal("urn:oid:" + Sent.Visit, ((PrimitiveType)r.Extension.Single().Value).JsonValue));
    }

    /// <summary>HL7 v2.5.1 §2.5.3.</summary>
    [Fact]
    public void An_empty_field_leaves_what_is_known_and_a_deleted_one_ends_it()
    {
        var known = Of<Patient>(Taken(Sent.Arrival())).Single();
        (known.Id, known.Meta) = ("p", new() { VersionId = "7", Security = [new("https://hl7.fi/fhir/finnish-base-profiles/CodeSystem/fi-base-security-label-cs", "TURVAKIELTO")] });
        var update = Sent.Bytes(Sent.Join(Sent.Header("ADT^A31", "9"), $"PID|1||{Sent.Code()}^^^^NNFIN||Lahti^Meri||||||||\"\""));
        var entry = Taken(update, known).Entry.Single(e => e.Resource is Patient);
        var patient = (Patient)entry.Resource;
        Assert.Equal((Bundle.HTTPVerb.PUT, "Patient/p", "W/\"7\""), (entry.Request.Method!.Value, entry.Request.Url, entry.Request.IfMatch));
        Assert.Equal(("Lahti", "1980-02-29", 1), (patient.Name[0].Family, patient.BirthDate, patient.Address.Count));
        Assert.Empty(patient.Telecom);
        Assert.Equal("TURVAKIELTO", patient.Meta.Security.Single().Code);
    }

    [Fact]
    public void Who_is_known_and_not_changed_is_referred_to_and_not_written()
    {
        var known = new Patient { Id = "p", Identifier = [new(PersonalIdentityCode.System, Sent.Code())], Name = [new() { Family = "Toinen" }] };
        var bundle = Taken(Sent.Results(), known);
        Assert.Empty(Of<Patient>(bundle));
        Assert.All(Of<Observation>(bundle), o => Assert.Equal("Patient/p", o.Subject.Reference));
    }

    [Fact]
    public void A_booking_is_moved_and_cancelled_under_its_own_id()
    {
        var made = Of<Appointment>(Taken(Sent.Booking())).Single();
        (made.Id, made.Meta) = ("a", new() { VersionId = "1" });
        var moved = Of<Appointment>(Taken(Sent.Booking("5", "S13", "20261216090000"), made)).Single();
        Assert.Equal(("a", Appointment.AppointmentStatus.Booked, 16), (moved.Id, moved.Status, moved.Start!.Value.ToOffset(TimeSpan.FromHours(2)).Day));
        var cancelled = Of<Appointment>(Taken(Sent.Booking("6", "S15", ""), made)).Single();
        Assert.Equal((Appointment.AppointmentStatus.Cancelled, made.Start), (cancelled.Status, cancelled.Start));
    }

    [Fact]
    public void A_document_comes_with_its_text_and_its_attachment()
    {
        var bundle = Taken(Sent.Document());
        var document = Of<DocumentReference>(bundle).Single();
        Assert.Equal("urn:oid:1.2.246.10.99000011.11.2026.5", document.MasterIdentifier.Value);
        Assert.Equal(["application/pdf", "text/plain; charset=utf-8"], document.Content.Select(c => c.Attachment.ContentType));
        Assert.Equal("Ensimmäinen käynti.\nHyvä yhteys.", Encoding.UTF8.GetString(Of<Binary>(bundle).Single(b => b.ContentType.StartsWith("text/", StringComparison.Ordinal)).Data));
    }

    [Fact]
    public void An_own_id_is_merged_and_another_identity_code_is_not()
    {
        var merge = Sent.Join(Sent.Header("ADT^A40", "7"), "EVN|A40|20261130", Sent.Person(), "MRG|4712^^^AURORA");
        Assert.Contains(Of<Patient>(Taken(Sent.Bytes(merge))).Single().Identifier, i => i is { Value: "4712", Use: Identifier.IdentifierUse.Old });
        Refused(Sent.Bytes(merge.Replace("4712^^^AURORA", Sent.Code("Toinen") + "^^^^NNFIN", StringComparison.Ordinal)), "MRG-1.1", Hl7ErrorCode.DataType);
    }

    public static TheoryData<string, string, string, Hl7ErrorCode> Bad => new()
    {
        { "ORU^R01^ORU_R01", "ADT^A02", "MSH-9.2", Hl7ErrorCode.UnsupportedEventCode },
        { "ORU^R01^ORU_R01", "RDE^O11", "MSH-9.1", Hl7ErrorCode.UnsupportedMessageType },
        { "|P|2.5|", "|P|3.0|", "MSH-12", Hl7ErrorCode.UnsupportedVersion },
        { "|2|P|", "||P|", "MSH-10", Hl7ErrorCode.RequiredFieldMissing },
        { "UNICODE UTF-8", "BIG-5", "MSH-18", Hl7ErrorCode.TableValueNotFound },
        { "UNICODE UTF-8", "", "PID-5", Hl7ErrorCode.DataType },
        { "|NM|", "|NA|", "OBX-2", Hl7ErrorCode.TableValueNotFound },
        { "|4.1|", "|4,1|", "OBX-5", Hl7ErrorCode.DataType },
        { "|20261130080000|", "|20261330080000|", "OBR-7", Hl7ErrorCode.DataType },
        { "toinen \\T\\", "toinen \\Q\\", "OBX[3]-5(2).1", Hl7ErrorCode.DataType },
        { "|||F\rOBX|1", "|||?\rOBX|1", "OBR-25", Hl7ErrorCode.TableValueNotFound },
        { "\rOBR|", "\rZBR|", "OBR", Hl7ErrorCode.SegmentSequence },
        { "\rPID|", "\rZPI|", "PID", Hl7ErrorCode.SegmentSequence },
        { "^^^&1.2.246.21&ISO^NNFIN~", "^^^TOINEN~", "PID-3", Hl7ErrorCode.UnknownKey },
        { "Ensimmäinen rivi", "Ensimmäinen\nrivi", "OBX[3]", Hl7ErrorCode.SegmentSequence },
        { "Paasto", "Paa\u0007sto", "NTE-3", Hl7ErrorCode.DataType },
    };

    [Theory, MemberData(nameof(Bad))]
    public void What_is_wrong_is_named_by_segment_and_field(string right, string wrong, string place, Hl7ErrorCode code)
    {
        var message = Encoding.UTF8.GetString(Sent.Results());
        Assert.Contains(right, message);
        Refused(Sent.Bytes(message.Replace(right, wrong, StringComparison.Ordinal)), place, code);
    }

    [Fact]
    public void Characters_are_those_that_the_header_says()
    {
        var message = Encoding.UTF8.GetString(Sent.Arrival());
        var latin = Sent.Bytes(message.Replace("UNICODE UTF-8", "8859/1", StringComparison.Ordinal), Encoding.Latin1);
        Assert.Equal("Järvi", Of<Patient>(Taken(latin)).Single().Name[0].Family);
        // Latin-1 under the name of UTF-8, and Windows-1252 under that of Latin-1.
        Refused(Sent.Bytes(message, Encoding.Latin1), "PID-5", Hl7ErrorCode.DataType);
        Refused([.. latin.Select(b => b == (byte)'4' ? (byte)0x80 : b)], null, Hl7ErrorCode.DataType);
    }

    /// <summary>Nothing is passed over in silence: each component was read by somebody, or is told as kept in the message alone.</summary>
    [Fact]
    public void The_report_has_every_component_once()
    {
        var (_, adapted) = MessageAdapter.Adapt(Sent.Bytes(Sent.Join(Sent.Header("ADT^A04", "8"), Sent.Person(), Sent.Pv1("O", "20261130100000||12^34"), "ZZZ|oma")), Sent.Organisation, []);
        Assert.Empty(adapted!.Errors);
        Assert.Equal(adapted.Report.Parts.Select(p => p.Path).Distinct(), adapted.Report.Parts.Select(p => p.Path));
        Assert.Contains(adapted.Report.Lost, p => p.StartsWith("ZZZ-1", StringComparison.Ordinal));
        Assert.Contains(adapted.Report.Lost, p => p.StartsWith("PV1-46", StringComparison.Ordinal));
        Assert.Contains(adapted.Report.Parts, p => p.Path.StartsWith("PID-5", StringComparison.Ordinal) && p is { Fate: SourceFate.Mapped, Target: "Patient" });
    }

    [Fact]
    public void A_message_that_comes_again_later_is_the_same_and_one_of_other_content_is_not()
    {
        var first = MessageAdapter.Adapt(Sent.Results(), Sent.Organisation, []).Adapted!;
        var again = MessageAdapter.Adapt(Sent.Bytes(Encoding.UTF8.GetString(Sent.Results()).Replace("|20261130101500||ORU", "|20261130111500||ORU", StringComparison.Ordinal)), Sent.Organisation, []).Adapted!;
        var other = MessageAdapter.Adapt(Sent.Results(value: "9.9"), Sent.Organisation, []).Adapted!;
        Assert.Equal((first.Key, first.Digest), (again.Key, again.Digest));
        Assert.Equal(first.Key, other.Key);
        Assert.NotEqual(first.Digest, other.Digest);
        Assert.NotEqual(first.Key, MessageAdapter.Adapt(Sent.Results(), "1.2.246.10.99000022", []).Adapted!.Key);
    }

    /// <summary>Whatever is cut off, doubled or overwritten: an answer, and no exception; and nothing invalid gets a transaction.</summary>
    [Fact]
    public void Damaged_messages_are_answered_and_never_crash() =>
        Gen.Select(Gen.Int[0, 3], Gen.Int[0, 1500], Gen.Int[0, 1500], Gen.Byte, Gen.Int[0, 2]).Sample((which, at, to, put, how) =>
        {
            var bytes = Named(All[which]);
            (at, to) = (at % bytes.Length, to % bytes.Length);
            byte[] damaged = how switch { 0 => bytes[..at], 1 => [.. bytes[..at], put, .. bytes[(at + 1)..]], _ => [.. bytes[..Math.Max(at, to)], .. bytes[Math.Min(at, to)..]] };
            var (message, adapted) = MessageAdapter.Adapt(damaged, Sent.Organisation, []);
            if (message is null)
                return;
            var answer = Hl7Acknowledgement.Write(message, adapted!.Errors.Count > 0 ? Hl7Answer.AE : Hl7Answer.AA, adapted.Errors, "1", DateTimeOffset.UnixEpoch);
            Assert.NotNull(Hl7Message.Read(answer));
            Assert.Equal(adapted.Errors.Count == 0, adapted.Bundle is not null);
        }, iter: 2_000);

    private static IEnumerable<T> Of<T>(Bundle bundle) where T : Resource => bundle.Entry.Select(static e => e.Resource).OfType<T>();

    private static Bundle Taken(byte[] message, params Resource[] known)
    {
        var (_, adapted) = MessageAdapter.Adapt(message, Sent.Organisation, known);
        Assert.Empty(adapted!.Errors.Select(e => $"{e.Place}: {e.Text}"));
        return adapted.Bundle!;
    }

    private static void Refused(byte[] message, string? place, Hl7ErrorCode code)
    {
        var (read, adapted) = MessageAdapter.Adapt(message, Sent.Organisation, []);
        Assert.Null(adapted!.Bundle);
        Assert.Contains(adapted.Errors, e => e.Code == code && (place is null || e.Place.ToString().StartsWith(place, StringComparison.Ordinal)));
        var answer = Hl7Message.Read(Hl7Acknowledgement.Write(read, Hl7Answer.AE, adapted.Errors, "1", DateTimeOffset.UnixEpoch))!;
        Assert.Equal(adapted.Errors.Select(e => (e.Place.Segment, ((int)e.Code).ToString(System.Globalization.CultureInfo.InvariantCulture))), answer.All("ERR").Select(e => (e.Text(2)!, e.Text(3)!)));
        Assert.DoesNotContain(Sent.Code(), Encoding.Latin1.GetString(answer.Original.Span));
    }
}
