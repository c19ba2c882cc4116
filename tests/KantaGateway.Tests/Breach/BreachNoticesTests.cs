using System.Text;
using KantaGateway.Audit.Sealing;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Operations;
using KantaGateway.Tests.Scenarios;
using Microsoft.Extensions.Logging.Testing;

namespace KantaGateway.Tests.Breach;

/// <summary>Notices to persons whose data was taken: sealed at rest, each once, checkable by anybody, and what their persons do with them.</summary>
public sealed class BreachNoticesTests
{
    private static readonly Pseudonym Maija = Pseudonym.Read("somebody-1"u8), Matti = Pseudonym.Read("somebody-2"u8);

    private static readonly AffectedItem Note = new("DocumentReference", "5b0c8a34-0000-4000-8000-000000000001"), Result = new("Observation", "5b0c8a34-0000-4000-8000-000000000002");

    [Fact]
    public async Task A_notice_is_the_persons_own_and_is_sent_once_however_often_the_list_comes()
    {
        await using var world = new BreachWorld();
        await world.Cases.OpenAsync(BreachKind.Unrecorded, "An answer stands in no entry.");
        Assert.Equal(2, await world.SendAsync(new(Maija, [Note, Note]), new(Matti, []), new(Maija, [Result])));
        var own = Assert.Single(world.Notices.Of(Maija));
        Assert.Equal([Note, Result], own.Notice.Items);
        Assert.Null(own.ReadAt);
        Assert.Empty(Assert.Single(world.Notices.Of(Matti)).Notice.Items);
        Assert.Null(world.Notices.Find(Matti, own.Notice.Id));
        // Each stands in the log of who it is for, and so does that it was read, once.
        Assert.Equal((1, 1), (await EntriesOfAsync(Maija), await EntriesOfAsync(Matti)));
        foreach (var _ in new[] { 1, 2 })
            await world.Notices.ReadAsync(Maija, own.Notice, static _ => "p", default);
        Assert.Equal((2, 1), (await EntriesOfAsync(Maija), await EntriesOfAsync(Matti)));
        Assert.Empty(world.Notices.Of(Pseudonym.Read("somebody-3"u8)));

        // After an outage the whole list comes again, with one more.
        world.Restart();
        Assert.Equal(1, await world.SendAsync(new(Maija, [Result, Note]), new(Matti, []), new(Pseudonym.Read("somebody-3"u8), [])));
        Assert.Equal(own.Notice.Code, Assert.Single(world.Notices.Of(Maija)).Notice.Code);
        Assert.Equal((2, 1), (await EntriesOfAsync(Maija), await EntriesOfAsync(Matti)));
        Assert.Equal(new NoticeCount(3, 1, 0), world.Notices.CountOf(1));
        Assert.Equal(2, world.Cases.StepsOf(1).Count(step => step.Kind == BreachStepKind.NoticesDelivered));
        Assert.Null(await world.Notices.SendAsync(2, BreachWorld.Words, [], "Tiina", static _ => "", default));

        async Task<int> EntriesOfAsync(Pseudonym person) => (await world.Audit.ForSubjectAsync(person.ToArray(), 10)).Count;
    }

    [Fact]
    public async Task Who_was_told_of_some_is_told_of_more_and_of_other_words_and_is_one_person_all_the_same()
    {
        await using var world = new BreachWorld();
        await world.Cases.OpenAsync(BreachKind.Unrecorded, "An answer stands in no entry.");
        await world.SendAsync(new AffectedPerson(Maija, [Note]));
        var first = world.Notices.Of(Maija)[0].Notice;
        await world.Notices.ReadAsync(Maija, first, static _ => "p", default);
        Assert.Equal(1, await world.SendAsync(new AffectedPerson(Maija, [Note, Result])));
        Assert.Equal(0, await world.SendAsync(new AffectedPerson(Maija, [Note, Result])));
        var others = BreachWorld.Words with { Contact = "Tietosuojavastaava Toivo Koe, 029 000 0001" };
        Assert.Equal(1, await world.Notices.SendAsync(1, others, [new(Maija, [Note, Result])], "Tiina", static _ => "p", default));
        Assert.Equal(3, world.Notices.Of(Maija).Select(static one => one.Notice.Code).Distinct().Count());
        Assert.Equal(new NoticeCount(3, 1, 0), world.Notices.CountOf(1));
        var totals = world.Notices.TotalsOf(1)!;
        Assert.Equal((1, 2), (totals.Persons, totals.Items));
        // Told to sign in once for both, and once more for what comes later.
        (Pseudonym, string, string)[] list = [(Maija, "maija@example.fi", "fi")];
        foreach (var count in (int[])[1, 0])
            Assert.Equal(count, await world.Notices.TellAsync(1, list, static (_, _, _) => Task.FromResult(true), default));
        await world.SendAsync(new AffectedPerson(Maija, []));
        Assert.Equal(1, await world.Notices.TellAsync(1, list, static (_, _, _) => Task.FromResult(true), default));
        // Each that was not read is a letter of its own.
        world.Clock.Advance(TimeSpan.FromDays(3));
        Assert.Equal(3, await world.Notices.WriteLettersAsync(1, "Tiina", static one => one.Code, default));
        Assert.Equal(3, Directory.GetFiles(world.PathOf("letters")).Length);
    }

    [Fact]
    public async Task What_was_sent_before_it_broke_off_stands_in_the_journal()
    {
        await using var world = new BreachWorld();
        await world.Cases.OpenAsync(BreachKind.Unrecorded, "An answer stands in no entry.");
        Task<int?> SendAsync(Pseudonym? without) => world.Notices.SendAsync(1, BreachWorld.Words, [new(Maija, [Note]), new(Matti, [])], "Tiina", person => person == without ? throw new IOException("Nothing is written.") : "p", default);
        await Assert.ThrowsAsync<IOException>(() => SendAsync(Maija));
        Assert.Empty(world.Cases.StepsOf(1));
        await Assert.ThrowsAsync<IOException>(() => SendAsync(Matti));
        Assert.Equal("1 notices put into inboxes, where sending broke off.", Assert.Single(world.Cases.StepsOf(1)).Note);
        Assert.Equal(1, await SendAsync(null));
        Assert.Equal(2, world.Cases.StepsOf(1).Count);
    }

    [Fact]
    public async Task Nothing_of_it_is_readable_at_rest_and_what_was_changed_is_not_shown()
    {
        await using var world = new BreachWorld();
        await world.Cases.OpenAsync(BreachKind.Unrecorded, "An answer stands in no entry.");
        await world.SendAsync(new AffectedPerson(Maija, [Note]));
        var notice = world.Notices.Of(Maija)[0].Notice;
        await world.Notices.SetDoneAsync(Maija, notice, "police", true, default);
        foreach (var file in Directory.EnumerateFiles(world.PathOf("notices"), "*", SearchOption.AllDirectories))
        {
            var text = file + Encoding.Latin1.GetString(await File.ReadAllBytesAsync(file));
            foreach (var secret in (string[])[notice.Code, notice.Code.Replace("-", ""), Maija.Encode(), Note.Id, Note.Type, "police", "murtauduttiin"])
                Assert.DoesNotContain(secret, text);
            if (!OperatingSystem.IsWindows())
                Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(file));
        }
        var own = Directory.EnumerateFiles(world.PathOf("notices/people"), notice.Id, SearchOption.AllDirectories).Single();
        var bytes = await File.ReadAllBytesAsync(own);
        bytes[^1] ^= 1;
        await File.WriteAllBytesAsync(own, bytes);
        Assert.Throws<IOException>(() => world.Notices.Of(Maija));
    }

    [Fact]
    public async Task That_it_was_read_counts_once_and_who_has_not_gets_a_letter_in_time()
    {
        await using var world = new BreachWorld();
        await world.Cases.OpenAsync(BreachKind.Unrecorded, "An answer stands in no entry.");
        await world.SendAsync(new AffectedPerson(Maija, [Note]), new AffectedPerson(Matti, [Result]));
        var notice = world.Notices.Of(Maija)[0].Notice;
        await world.Notices.ReadAsync(Maija, notice, static _ => "p", default);
        var read = world.Notices.Find(Maija, notice.Id)!.ReadAt;
        world.Clock.Advance(TimeSpan.FromDays(2));
        await world.Notices.ReadAsync(Maija, notice, static _ => "p", default);
        Assert.Equal(read, world.Notices.Find(Maija, notice.Id)!.ReadAt);

        Assert.Equal(0, await world.Notices.WriteLettersAsync(1, "Tiina", static one => one.Code, default));
        world.Clock.Advance(TimeSpan.FromDays(1));
        Assert.Equal(1, await world.Notices.WriteLettersAsync(1, "Tiina", static one => one.Code, default));
        Assert.Equal(0, await world.Notices.WriteLettersAsync(1, "Tiina", static one => one.Code, default));
        var sealedLetter = Assert.Single(Directory.GetFiles(world.PathOf("letters")));
        var (code, patient) = (world.Notices.Of(Matti)[0].Notice.Code, new IdentifierCipher(new byte[32]).PatientId(Matti));
        // Neither what it says nor to whom, before who prints it has opened it.
        foreach (var secret in (string[])[code, patient])
            Assert.DoesNotContain(secret, sealedLetter + Encoding.Latin1.GetString(await File.ReadAllBytesAsync(sealedLetter)));
        await File.WriteAllTextAsync(world.PathOf("printer.key"), Convert.ToBase64String(BreachWorld.LetterKey));
        using var said = new StringWriter();
        Assert.Equal(0, OpenLetters.Run([OpenLetters.Name, world.PathOf("printer.key"), world.PathOf("letters"), world.PathOf("open")], said));
        var letter = Assert.Single(Directory.GetFiles(world.PathOf("open")));
        Assert.StartsWith($"00000001-{patient}-", Path.GetFileName(letter), StringComparison.Ordinal);
        Assert.Equal(code, await File.ReadAllTextAsync(letter));
        // With another key none is.
        Assert.Equal(0, OpenLetters.Run([OpenLetters.KeyName, world.PathOf("another.key")], said));
        Assert.Equal(2, OpenLetters.Run([OpenLetters.Name, world.PathOf("another.key"), world.PathOf("letters"), world.PathOf("none")], said));
        Assert.Empty(Directory.GetFiles(world.PathOf("none")));
        Assert.Equal(1, OpenLetters.Run([OpenLetters.Name], said));
        Assert.Equal(new NoticeCount(2, 1, 1), world.Notices.CountOf(1));
        Assert.Contains(world.Cases.StepsOf(1), step => step.Kind == BreachStepKind.LettersWritten);
    }

    /// <summary>Anybody can seal to a public key.</summary>
    [Theory]
    [InlineData("../escaped.html")]
    [InlineData("/tmp/escaped.html")]
    [InlineData(".hidden")]
    [InlineData("")]
    public void A_letter_that_names_a_place_is_not_opened(string name)
    {
        using var folder = new TemporaryFolder();
        Directory.CreateDirectory(folder.File("letters"));
        File.WriteAllText(folder.File("printer.key"), Convert.ToBase64String(BreachWorld.LetterKey));
        File.WriteAllBytes(folder.File("letters/00000001-a.sealed"), new SealedLetter(name, "<p>").Seal(SealedBox.PublicKeyOf(BreachWorld.LetterKey)));
        using var said = new StringWriter();
        Assert.Equal(2, OpenLetters.Run([OpenLetters.Name, folder.File("printer.key"), folder.File("letters"), folder.File("open")], said));
        Assert.Empty(Directory.GetFiles(folder.File("open")));
    }

    [Fact]
    public async Task Anybody_learns_of_a_code_whether_it_is_real_and_nothing_more()
    {
        await using var world = new BreachWorld();
        await world.Cases.OpenAsync(BreachKind.Unrecorded, "An answer stands in no entry.");
        await world.SendAsync(new AffectedPerson(Maija, [Note]));
        var code = world.Notices.Of(Maija)[0].Notice.Code;
        foreach (var written in (string[])[code, code.ToLowerInvariant(), code.Replace("-", ""), code.Replace("-", " ").Replace('0', 'o').Replace('1', 'l')])
        {
            Assert.True(NoticeCode.TryParse(written, out var parsed), written);
            Assert.Equal((world.Now, "KantaGateway"), world.Notices.Check(parsed));
        }
        Assert.Null(world.Notices.Check(NoticeCode.Create()));
    }

    [Fact]
    public void A_code_that_was_mistyped_or_made_up_is_none()
    {
        for (var round = 0; round < 50; round++)
        {
            var code = NoticeCode.Create().Reveal().Replace("-", "");
            for (var at = 0; at < code.Length; at++)
            {
                var other = code[at] == '7' ? '8' : '7';
                Assert.False(NoticeCode.TryParse(code[..at] + other + code[(at + 1)..], out _));
                if (at > 0 && code[at] != code[at - 1])
                    Assert.False(NoticeCode.TryParse(code[..(at - 1)] + code[at] + code[at - 1] + code[(at + 1)..], out _));
            }
        }
        foreach (var none in (string?[])[null, "", "4XK2P-90MWD", "4XK2P-90MWU-7", new string('7', 100), "<script>"])
            Assert.False(NoticeCode.TryParse(none, out _));
    }

    [Fact]
    public async Task The_persons_are_told_what_has_been_done_about_their_case()
    {
        await using var world = new BreachWorld();
        await world.Cases.OpenAsync(BreachKind.Unrecorded, "An answer stands in no entry.");
        await world.SendAsync(new AffectedPerson(Maija, [Note]));
        var notice = world.Notices.Of(Maija)[0].Notice;
        Assert.Equal(new NoticeDuties(null, null, null), world.Notices.DutiesOf(notice));
        world.Clock.Advance(TimeSpan.FromHours(1));
        await world.Cases.AddStepAsync(1, BreachStepKind.AuthorityNotified, "Tero", "Tietosuojavaltuutettu", "TSV/1");
        await world.Cases.AddStepAsync(1, BreachStepKind.Contained, "Tero", note: "The client is suspended.");
        Assert.Equal(new NoticeDuties(world.Now, null, world.Now), world.Notices.DutiesOf(notice));
    }

    [Fact]
    public async Task Forged_notices_stand_in_the_journal_of_an_open_case_a_line_a_minute_and_are_an_alarm_where_there_is_none()
    {
        await using var world = new BreachWorld();
        var logger = new FakeLogger<ForgeryReports>();
        var reports = new ForgeryReports(world.Cases, world.Clock, logger);
        await reports.ReportAsync(ForgeryWay.Email, asksMoney: true);
        Assert.Equal(Microsoft.Extensions.Logging.LogLevel.Critical, logger.LatestRecord.Level);
        await world.Cases.OpenAsync(BreachKind.Unrecorded, "An answer stands in no entry.");
        await reports.ReportAsync(ForgeryWay.Email, asksMoney: true);
        await reports.ReportAsync(ForgeryWay.Call, asksMoney: false);
        Assert.Empty(world.Cases.StepsOf(1));
        world.Clock.Advance(ForgeryReports.Between);
        await reports.ReportAsync(ForgeryWay.Letter, asksMoney: false);
        var line = Assert.Single(world.Cases.StepsOf(1));
        Assert.Equal((BreachStepKind.ForgeriesReported, "3 reported since the line before; the last came as Letter."), (line.Kind, line.Note));
    }

    [Fact]
    public async Task Who_was_sent_a_notice_is_told_once_to_sign_in_and_of_nothing_else()
    {
        await using var world = new BreachWorld();
        await world.Cases.OpenAsync(BreachKind.Unrecorded, "An answer stands in no entry.");
        await world.SendAsync(new AffectedPerson(Maija, [Note]));
        const string Relay = "https://relay.example/messages";
        using var messages = new NoticeMessages(world.Options with { Breach = world.Options.Breach! with { Notices = world.Options.Breach.Notices! with { MessageRelay = Relay } } },
            Microsoft.Extensions.Logging.Abstractions.NullLogger<NoticeMessages>.Instance, world.Outside);
        // Nobody without a notice is told.
        (Pseudonym, string, string)[] list = [(Maija, "maija@example.fi", "fi"), (Matti, "+358401234567", "sv")];
        world.Outside.IsAway = Relay;
        Assert.Equal(0, await world.Notices.TellAsync(1, list, messages.SendAsync, default));
        world.Outside.IsAway = null;
        Assert.Equal(1, await world.Notices.TellAsync(1, list, messages.SendAsync, default));
        Assert.Equal(0, await world.Notices.TellAsync(1, list, messages.SendAsync, default));
        var sent = System.Text.Json.JsonDocument.Parse(Assert.Single(world.Outside.Told).Token).RootElement;
        Assert.Equal(("maija@example.fi", OutboundMessage.ToSignIn("fi", world.Options.PublicAddress).Text), (sent.GetProperty("to").GetString(), sent.GetProperty("text").GetString()));
    }

    [Theory]
    [InlineData("maija@example.fi", true)]
    [InlineData("+358401234567", true)]
    [InlineData("0401234567", false)]
    [InlineData("+35840123456x", false)]
    [InlineData("maija@example.fi,matti@example.fi", false)]
    [InlineData("Maija <maija@example.fi>", false)]
    [InlineData("maija@example.fi\r\nBcc: all@example.fi", false)]
    [InlineData("", false)]
    public void A_message_goes_to_one_address_and_no_other_text_rides_along(string to, bool isReachable) => Assert.Equal(isReachable, NoticeMessages.IsReachable(to));

    [Fact]
    public void An_address_that_is_an_identity_code_is_none() => Assert.False(NoticeMessages.IsReachable(KantaGateway.Tests.Identification.IdentificationWorld.TestCode + "@example.fi"));
}
