"""The page in Vietnamese."""

from dataclasses import replace

from agetransformer.page.english import ENGLISH

VIETNAMESE = replace(
    ENGLISH,
    code="vi",
    name="Tiếng Việt",
    subtitle="Ảnh của chính bạn, ở mọi độ tuổi từ 20 đến 69.",
    language="Ngôn ngữ",
    one_photo="Một ảnh",
    many_photos="Nhiều ảnh",
    video="Video",
    drop_here="Thả ảnh chân dung vào đây, tối đa 20 MB, hoặc dùng các nút bên dưới",
    photo="Ảnh của bạn",
    no_photo="Chưa có sẵn ảnh? Hãy thử một trong các ảnh này:",
    waiting="Ảnh của bạn được chỉnh sửa trên máy chủ này và bị xóa trong vòng một giờ.",
    queued="Ảnh của bạn đã được tải lên và đang chờ đến lượt…",
    looking="Đang tìm khuôn mặt…",
    looks="Khuôn mặt này trông khoảng <b>{age}</b> tuổi.",
    all_look="{count} khuôn mặt này trông từ <b>{youngest}</b> đến <b>{oldest}</b> tuổi.",
    largest_only="Đã tìm thấy {found} khuôn mặt; có thể chọn {count} khuôn mặt lớn nhất.",
    pick_face="Chọn khuôn mặt nào?",
    all_faces="Tất cả",
    face_looks="Khuôn mặt {number}, trông {age} tuổi",
    your_face="Ảnh gốc",
    your_photo="Ảnh của bạn",
    detected="trông {age} tuổi",
    at_age="Ở tuổi {age}",
    at_nearest_age="Ở tuổi {age}, gần với bạn nhất",
    ages_heading="5 độ tuổi",
    ages_hint="Chạm vào một hình để xem trong ảnh. Khung vàng đánh dấu độ tuổi gần với bạn nhất.",
    ages_hint_together="Chạm vào một hình để xem trong ảnh.",
    compare="Trước và sau",
    age="Tuổi",
    download_photo="Tải ảnh về",
    download_grid="Tải ảnh 5 độ tuổi",
    new_photo="Ảnh khác",
    fine_tuning="Tinh chỉnh",
    strength="Mức độ thay đổi (%)",
    strength_hint="100 là đúng theo độ tuổi đã chọn; nhỏ hơn thì nhẹ nhàng hơn.",
    area="Phần thay đổi",
    face_area="Chỉ khuôn mặt",
    hair_area="Khuôn mặt và tóc",
    mark="Ghi chữ “AI-edited” vào góc ảnh tải về",
    film="Phim qua các tuổi",
    film_hint="Từ 20 đến 69 tuổi rồi trở lại, trong bốn giây.",
    kept="Kết quả được giữ ở đây trong {minutes} phút.",
    film_format="Định dạng",
    make_film="Tạo phim",
    film_alt="Bức ảnh từ 20 đến 69 tuổi rồi trở lại",
    download_film="Tải phim về",
    making_film="Đang tạo phim…",
    batch_hint="Tối đa {most} ảnh, tổng cộng {megabytes} MB. Bạn nhận một tệp zip gồm mọi ảnh ở mọi độ tuổi đã chọn.",
    batch_photos="Các ảnh",
    batch_ages="Độ tuổi",
    batch_faces="Khuôn mặt trong mỗi ảnh",
    largest_face="Lớn nhất",
    every_face="Tất cả",
    make_batch="Chỉnh sửa các ảnh",
    download_batch="Tải tệp zip về",
    batch_progress="Ảnh {number} trên {count}",
    batch_done="Đã chỉnh sửa {done} trên {count} ảnh.",
    batch_failed="{count} ảnh không chỉnh sửa được:",
    no_photos="Trước hết hãy chọn vài ảnh.",
    too_many_photos="Quá nhiều ảnh. Hãy chọn tối đa {most} ảnh.",
    photos_too_large="Tổng dung lượng ảnh quá lớn. Hãy chọn tối đa {megabytes} MB.",
    batch_full="Bị bỏ lại: tệp zip đã quá lớn. Hãy gửi lại ảnh này cùng với ít ảnh hơn.",
    no_ages="Hãy chọn ít nhất một độ tuổi.",
    video_hint="Một đoạn phim dài tối đa {seconds} giây và {megabytes} MB. Khuôn mặt lớn nhất được theo dõi suốt đoạn "
    "phim, âm thanh được giữ nguyên. Mỗi giây phim cần vài giây tính toán.",
    clip="Đoạn phim của bạn",
    make_video="Đổi tuổi",
    video_result="Kết quả",
    no_video="Trước hết hãy chọn một đoạn phim.",
    video_progress="Đang chỉnh sửa đoạn phim…",
    video_done="Đã chỉnh sửa {edited} trên {frames} khung hình.",
    no_face=(
        "Không tìm thấy khuôn mặt. Hãy thử một ảnh mà khuôn mặt đủ sáng, hướng về phía máy ảnh "
        "và chiếm phần đáng kể của bức ảnh."
    ),
    expired="Ảnh này không còn được lưu. Vui lòng chọn lại ảnh.",
    clip_expired="Đoạn phim này không còn được lưu. Vui lòng chọn lại.",
    failed="Đã xảy ra lỗi từ phía chúng tôi. Vui lòng thử lại hoặc thử một ảnh khác.",
    busy="Máy chủ chưa nhận được yêu cầu này; có thể đang có rất nhiều người dùng. Vui lòng thử lại sau một phút.",
    no_such_face="Không có khuôn mặt số {face} để chọn trong ảnh: có {count} khuôn mặt, đếm từ 0, lớn nhất trước.",
    ages_out_of_range="Độ tuổi phải từ {youngest} đến {oldest}.",
    strength_out_of_range="Mức độ phải từ 0 đến {strongest}; 1 là thay đổi đúng theo độ tuổi đã chọn.",
    how_many_ages="Hãy cho ít nhất một và nhiều nhất {most} độ tuổi.",
    sweep_backwards="Phim phải bắt đầu ở tuổi trẻ hơn tuổi cao nhất.",
    intake_errors={
        "The photo is damaged or was cut short, so it cannot be read. Please export or download it again.": (
            "Ảnh bị hỏng hoặc bị cắt cụt nên không đọc được. Vui lòng xuất hoặc tải lại ảnh."
        ),
        "The file is empty. Please export or download the photo again.": ("Tệp trống. Vui lòng xuất hoặc tải lại ảnh."),
        "The file is larger than 20 MB. Please save a smaller copy of the photo.": (
            "Tệp lớn hơn 20 MB. Vui lòng lưu một bản ảnh nhỏ hơn."
        ),
        "The photo has more than 50 megapixels. Please save a smaller copy of it.": (
            "Ảnh có hơn 50 triệu điểm ảnh. Vui lòng lưu một bản nhỏ hơn."
        ),
        "The TIFF is damaged, or has channels that cannot be read here. "
        "Please save it with 8 or 16 bits a channel, in RGB.": (
            "Tệp TIFF bị hỏng hoặc có kênh màu không đọc được ở đây. "
            "Vui lòng lưu lại với 8 hoặc 16 bit mỗi kênh màu, dạng RGB."
        ),
        "The photo has a high dynamic range (PQ or HLG). Please export it as an ordinary JPEG.": (
            "Ảnh có dải động cao (PQ hoặc HLG). Vui lòng xuất thành JPEG thông thường."
        ),
        "The photo has 32 bits a channel. Please save it with 8 or 16 bits.": (
            "Ảnh có 32 bit mỗi kênh màu. Vui lòng lưu lại với 8 hoặc 16 bit."
        ),
        "The photo has floating-point pixels. Please save it with 8 or 16 bits a channel.": (
            "Ảnh có điểm ảnh dạng số thực. Vui lòng lưu lại với 8 hoặc 16 bit mỗi kênh màu."
        ),
        **{
            f"The file is {kind}. Please use a photo saved as JPEG, PNG, WebP, AVIF, HEIC, TIFF or GIF.": (
                f"Tệp này {said}. Vui lòng dùng ảnh dạng JPEG, PNG, WebP, AVIF, HEIC, TIFF hoặc GIF."
            )
            for kind, said in {
                "a PDF document": "là tài liệu PDF",
                "a PostScript (EPS) drawing": "là hình vẽ PostScript (EPS)",
                "an SVG drawing": "là hình vẽ SVG",
                "a raw file of a camera": "là tệp thô (RAW) của máy ảnh",
                "a video": "là video",
                "not a photo that can be read here": "không phải là ảnh có thể đọc được ở đây",
            }.items()
        },
        "The file has no video in it. Please use a clip that shows a face.": (
            "Tệp này không có hình video. Vui lòng dùng một đoạn video có khuôn mặt."
        ),
        "The file is not a video that can be read here, or it is damaged. Please use MP4, MOV, WebM, MKV or AVI.": (
            "Tệp này không phải là video đọc được ở đây, hoặc đã bị hỏng. Vui lòng dùng MP4, MOV, WebM, MKV hoặc AVI."
        ),
        "The video has no frames that can be read. Please export it again.": (
            "Video không có khung hình nào đọc được. Vui lòng xuất lại video."
        ),
        "No face was found in any frame. Please use a video in which a face is larger, sharper or less turned away.": (
            "Không tìm thấy khuôn mặt trong khung hình nào. "
            "Vui lòng dùng video có khuôn mặt lớn hơn, rõ hơn hoặc nhìn thẳng hơn."
        ),
        "The video has more than 640 frames. Please cut it, or save it with fewer frames a second.": (
            "Video có hơn 640 khung hình. Vui lòng cắt ngắn, hoặc lưu lại với ít khung hình mỗi giây hơn."
        ),
        "The video is longer than 10 seconds. Please cut it to the part that shows the face.": (
            "Video dài hơn 10 giây. Vui lòng cắt lấy đoạn có khuôn mặt."
        ),
    },
    about_label="Giới thiệu, cách huấn luyện và giới hạn",
    about="""
**Đây là gì?** Một mạng nơ-ron nhỏ thay đổi tuổi của khuôn mặt và giữ nguyên mọi thứ khác: danh tính, biểu cảm, kiểu
tóc, phông nền. Nó theo bài báo *High Resolution Face Age Editing* (Yao, Puy, Newson, Gousseau, Hellier, 2020). Khuôn
mặt được mã hóa một lần; mọi độ tuổi đều được giải mã từ cùng bản mã hóa đó. Chỉ phần chênh lệch được cộng vào ảnh của
bạn, nên những điểm ảnh mà tuổi tác không chạm tới vẫn là của bạn, ở độ phân giải gốc.

**Được huấn luyện thế nào?** Bằng mã nguồn của dự án này, trên ảnh chân dung từ FFHQ với tuổi do một dịch vụ web ước
lượng, và ở giai đoạn cuối cả trên một số ảnh từ UTKFace và All-Age-Faces.
Một mạng thứ hai, cũng được huấn luyện ở đây, chấm các ảnh mà nó sửa. Mạng đó cũng cho số tuổi bạn thấy; nó học
từ UTKFace, All-Age-Faces và FFHQ, và trung bình sai khoảng năm tuổi.

**Giới hạn.** Nó vẽ sự lão hóa trung bình trong các ảnh đã học: đây không phải là dự đoán về diện mạo tương lai của bất
kỳ ai, và không được dùng để quyết định điều gì dựa trên tuổi của ai. Ảnh trên mạng thiếu đại diện của nhiều nhóm
người, và mạng này cũng vậy: kết quả thay đổi theo màu da, tuổi và tư thế. Kính, bàn tay che mặt, trang điểm đậm, ánh
sáng chiếu ngang mạnh và ảnh chụp nghiêng thì khó hơn. Nó không đổi độ dài tóc, đường chân tóc hay hình dáng đầu. Tóc
và râu bạc dần theo tuổi bằng một quy tắc chung cho mọi người, và tóc, râu bạc trở lại màu nâu khi trẻ hơn, dù trước kia
có màu gì. "Chỉ khuôn mặt" giữ nguyên tóc và râu. Tuổi dưới 20 và trên 69 không được hỗ trợ.

**Ảnh của bạn.** Ảnh được xử lý trên máy chủ này, không dùng để huấn luyện, và bị xóa trong vòng một giờ. Tệp tải về
không mang siêu dữ liệu của ảnh gốc và được ghi rõ là đã chỉnh sửa bằng AI. Chỉ chỉnh sửa ảnh của những người đồng ý.

**Giấy phép.** Mã nguồn: Apache-2.0. Trọng số đã huấn luyện: CC BY-NC 4.0 (phi thương mại), do dữ liệu huấn luyện.
""",
    api_label="Dùng từ Python",
)
