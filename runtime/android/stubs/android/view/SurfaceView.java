package android.view;

public class SurfaceView extends View {
    public SurfaceView(android.content.Context context) {
        super(context);
    }
}
